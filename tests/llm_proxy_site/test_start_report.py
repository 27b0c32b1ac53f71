"""What a server says as it starts, to programs and to people, and what it keeps to itself."""

import logging
from typing import Any

import pytest
import structlog
from pytest_django.fixtures import Settings
from structlog.testing import LogCapture

from llm_proxy_site import start_report
from llm_proxy_site.addresses import Address

HERE = Address("127.0.0.1", 8000)
SECRETS = ("pass-of-traces", "pass-of-postgres", "pass-of-redis", "pass-in-query", "t" * 32, "user-of-redis")


@pytest.fixture(autouse=True)
def _shipped(settings: Settings) -> None:
    settings.NAMED_HOSTS, settings.ALLOWED_HOSTS = [], ["localhost", "127.0.0.1", "[::1]"]


@pytest.fixture
def scaled(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "llm_proxy",
        "USER": "proxy",
        "PASSWORD": "pass-of-postgres",
        "HOST": "db.example.com",
        "PORT": 5432,
    }
    for name, value in database.items():
        monkeypatch.setitem(settings.DATABASES["default"], name, value)
    settings.REDIS_URL = (
        "rediss://user-of-redis:pass-of-redis@cache.example.com:6380/2?password=pass-in-query"
    )
    settings.METRICS_TOKEN = "t" * 32
    settings.TRACES_ENDPOINT = (
        "https://user:pass-of-traces@collector.example.com/v1/traces?key=pass-of-traces"
    )
    settings.TRACES_SECRET_HEADERS = {"x-api-key": "pass-of-traces"}
    settings.ALLOWED_HOSTS, settings.SECURE_COOKIES = ["proxy.example.com"], True
    return settings


def reported(address: Address = HERE, workers: int = 1) -> list[Any]:
    """Lines of level INFO too, which the tests' own log leaves out."""
    captured = LogCapture()
    everything = structlog.make_filtering_bound_logger(logging.INFO)
    with pytest.MonkeyPatch.context() as patch:
        log = structlog.wrap_logger(None, processors=[captured], wrapper_class=everything)
        patch.setattr(start_report, "log", log)
        start_report.report(address, "daphne", workers)
    return captured.entries


def test_programs_have_one_event_with_all_facts(scaled: Settings) -> None:
    scaled.LOG_FORMAT = "json"
    (start,) = reported(workers=4)

    assert start["event"] == "starting"
    assert (start["server"], start["workers"]) == ("daphne", 4)
    assert start["traces"] == (
        "to https://collector.example.com/v1/traces, parentbased_always_on, without context to upstream"
    )
    assert start["database"] == "postgresql llm_proxy at db.example.com:5432"
    assert start["redis"] == "rediss://cache.example.com:6380/2"
    assert start["providers"] == ["openai (https://api.openai.com/v1)"]
    assert start["metrics"] == "on, for a token"
    assert not any(secret in repr(start) for secret in SECRETS)


def test_people_have_a_line_for_each(scaled: Settings) -> None:
    scaled.LOG_FORMAT = "console"
    lines = [line["event"] for line in reported(workers=4)]

    assert "database   postgresql llm_proxy at db.example.com:5432" in lines
    assert "workers    4" in lines
    assert "providers  openai (https://api.openai.com/v1)" in lines
    assert not any(secret in repr(lines) for secret in SECRETS)


def test_the_shipped_configuration_has_nothing_to_mend() -> None:
    assert [line["log_level"] for line in reported()] == ["info"]


def test_what_should_be_mended_follows_once_each(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the command line's number of workers, whatever WORKERS says."""
    settings.DEBUG, settings.REDIS_URL = True, "redis://127.0.0.1"
    settings.LIMITS_WITHOUT_REDIS, settings.WORKERS = "local", 2
    monkeypatch.setitem(settings.DATABASES["default"], "ENGINE", "django.db.backends.sqlite3")
    anywhere = Address("0.0.0.0", 80)  # noqa: S104 (nobody listens)
    found = [line["check"] for line in reported(anywhere, 2) if line["event"] == "to mend"]
    assert sorted(found) == ["llm_proxy.W020", "llm_proxy.W021", "llm_proxy.W022", "security.W018"]

    settings.LOG_FORMAT, settings.WORKERS = "console", 1
    lines = [line["event"] for line in reported(workers=2) if line["log_level"] == "warning"]
    assert len(lines) == 3
    assert all(line.startswith("to mend: ") and line.endswith(")") for line in lines)
