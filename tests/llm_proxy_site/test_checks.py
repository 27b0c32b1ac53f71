import os
from pathlib import Path

import pytest
from django.core.checks import WARNING, CheckMessage
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from llm_proxy_site import checks, server_checks, tracing_checks
from llm_proxy_site.addresses import Address
from proxy.tracing import configuration
from proxy.tracing.opening import open_tracer
from tests.commands import in_a_process

CHECKS = [
    checks.check_values,
    checks.check_secrets,
    checks.check_tokens,
    checks.check_secrets_file,
    checks.check_data_dir,
    checks.check_database_file,
    checks.check_upstream,
    checks.check_providers,
    server_checks.check_redis,
    server_checks.check_limits_without_redis,
    tracing_checks.check_traces,
    server_checks.check_workers,
]


def run() -> list[CheckMessage]:
    return [message for check in CHECKS for message in check(None)]


def test_the_shipped_configuration_is_sound() -> None:
    assert run() == []


@pytest.mark.parametrize(
    ("name", "value", "check_id"),
    [
        ("LOG_LEVEL", "LOUD", "llm_proxy.E001"),
        ("LOG_FORMAT", "xml", "llm_proxy.E001"),
        ("BREAKER_FAILURE_PERCENT", 101, "llm_proxy.E001"),
        ("TRACES_SAMPLER", "secret@", "llm_proxy.E001"),
        ("MISSING_SECRETS", ["SECRET_KEY"], "llm_proxy.E002"),
        ("ENCRYPTION_KEYS", ["short"], "llm_proxy.E003"),
        ("METRICS_TOKEN", "short", "llm_proxy.E010"),
        ("UPSTREAM_BASE_URL", "api.openai.com", "llm_proxy.E005"),
        ("UPSTREAM_BASE_URL", "https://user:secret@api.openai.com/v1", "llm_proxy.E005"),
        ("PROVIDERS_FILE", Path("/nowhere/providers.yaml"), "llm_proxy.E006"),
        ("REDIS_URL", "http://user:secret@127.0.0.1:6379", "llm_proxy.E007"),
        ("REDIS_URL", "redis://:secret@127.0.0.1:port", "llm_proxy.E007"),
        ("REDIS_URL", "redis://:secret@127.0.0.1?no_such_option=1", "llm_proxy.E007"),
        ("LIMITS_WITHOUT_REDIS", "secret@", "llm_proxy.E008"),
        ("WORKERS", 2, "llm_proxy.E020"),
    ],
)
def test_each_fault_has_an_id_and_a_hint(settings: Settings, name: str, value: object, check_id: str) -> None:
    setattr(settings, name, value)
    (message,) = run()

    assert message.id == check_id
    assert message.hint
    assert "secret@" not in f"{message.msg}{message.hint}"


@pytest.mark.parametrize(
    "url",
    ["redis://127.0.0.1", "redis://:p%2Fw@redis.example.com:6380/2", "rediss://r", "unix:///run/redis.sock"],
)
def test_every_way_to_a_redis_is_sound(settings: Settings, url: str) -> None:
    settings.REDIS_URL = url

    assert run() == []


def test_bad_values_are_reported(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings.ENVIRONMENT, "problems", ["A: must be a number", "B: must be true or false"])

    assert [message.msg for message in run()] == ["A: must be a number", "B: must be true or false"]


def test_secrets_that_others_can_read_are_a_warning(settings: Settings, tmp_path: Path) -> None:
    settings.SECRETS_FILE = tmp_path / "secrets.env"
    settings.SECRETS_FILE.touch(mode=0o644)

    assert [message.id for message in run()] == ["llm_proxy.W001"]
    settings.SECRETS_FILE.chmod(0o600)
    assert run() == []


@pytest.mark.parametrize("name", ["DATA_DIR", "SPOOL_DIR"])
def test_a_directory_that_cannot_be_made_is_an_error(settings: Settings, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    setattr(settings, name, tmp_path / "new" / "folder")
    assert run() == []

    setattr(settings, name, tmp_path / "file" / "folder")
    (message,) = run()
    assert message.id == "llm_proxy.E004"
    assert "cannot be made" in message.msg
    assert message.hint is not None
    assert name in message.hint


def test_a_data_directory_that_cannot_be_made_is_told_once(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings.DATA_DIR = tmp_path / "file" / "data"
    settings.SPOOL_DIR = settings.DATA_DIR / "spool"
    (message,) = run()
    assert message.id == "llm_proxy.E004"


@pytest.mark.parametrize(
    "host", ["https://proxy.example.com", "proxy.example.com:8000", "proxy.example.com/", "[::1]:8000", "::1"]
)
def test_an_allowed_host_that_no_request_can_have_is_an_error(settings: Settings, host: str) -> None:
    settings.ALLOWED_HOSTS = ["localhost", host]
    (message,) = run()
    assert message.id == "llm_proxy.E001"
    assert message.msg.startswith("ALLOWED_HOSTS: ")


def test_names_and_addresses_are_allowed_hosts(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["*", ".example.com", "llm_proxy", "10.0.0.1", "[::1]"]
    assert run() == []


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_a_database_file_that_can_only_be_read_is_an_error(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, suffix: str
) -> None:
    database, file = tmp_path / "llm-proxy.db", tmp_path / f"llm-proxy.db{suffix}"
    for name, value in {"ENGINE": "django.db.backends.sqlite3", "NAME": str(database)}.items():
        monkeypatch.setitem(settings.DATABASES["default"], name, value)
    database.touch()
    file.touch()
    assert run() == []

    # Tests may run as root, who may write everything.
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != str(file))
    (message,) = run()
    assert message.id == "llm_proxy.E011"
    assert str(file) in message.msg


def test_every_problem_of_the_providers_is_an_error_of_its_own(settings: Settings, tmp_path: Path) -> None:
    settings.PROVIDERS_FILE = tmp_path / "providers.yaml"
    settings.PROVIDERS_FILE.write_text("providers: {one: {x: 1}, two: {y: 1}}\nfamilies: {a: []}\n")

    assert [message.msg.removeprefix(f"{tmp_path}/") for message in run()] == [
        "providers.yaml:1: providers.one.x: there is no such setting",
        "providers.yaml:1: providers.two.y: there is no such setting",
    ]


def test_a_database_without_tables_is_not_asked_about_projects(tmp_path: Path) -> None:
    done = in_a_process("check", "--database", "default", database=tmp_path / "empty.db")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_server_that_there_is_not_is_an_error(settings: Settings) -> None:
    settings.SERVER = "gunicorn"
    (message,) = server_checks.check_server(None)
    assert message.id == "llm_proxy.E021"
    assert "daphne or uvicorn" in message.msg


def test_a_server_that_is_not_installed_is_an_error_that_says_how(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SERVER = "uvicorn"
    monkeypatch.setattr("llm_proxy_site.server.choice.find_spec", lambda name: name == "uvloop" or None)
    (message,) = server_checks.check_server(None)
    assert message.id == "llm_proxy.E022"
    assert "uvicorn, httptools, websockets cannot be found" in message.msg
    assert "make fast" in str(message.hint)
    with pytest.raises(CommandError, match=r"The server uvicorn is not installed: .* \(llm_proxy\.E022\)"):
        call_command("serve", "--server", "uvicorn")
    settings.SERVER = "daphne"
    assert server_checks.check_server(None) == []


def test_several_workers_share_a_redis(settings: Settings) -> None:
    settings.WORKERS = 2
    settings.REDIS_URL = "redis://127.0.0.1"
    assert run() == []
    settings.LIMITS_WITHOUT_REDIS = "local"
    (message,) = run()
    assert message.id == "llm_proxy.W020"


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_an_authority_that_cannot_be_read_is_an_error(
    settings: Settings, tmp_path: Path, text: str | None
) -> None:
    file = tmp_path / "ca.pem"
    if text is not None:
        file.write_text(text)
    settings.EXCHANGE_CA_FILE = str(file)
    assert [problem.id for problem in checks.check_exchange(None)] == ["llm_proxy.E030"]


def test_several_workers_on_sqlite_are_noted(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings.DATABASES["default"], "ENGINE", "django.db.backends.sqlite3")
    (message,) = server_checks.problems_of_sharing(2)
    assert message.id == "llm_proxy.W021"
    assert server_checks.problems_of_sharing(1) == []
    monkeypatch.setitem(settings.DATABASES["default"], "ENGINE", "django.db.backends.postgresql")
    assert server_checks.problems_of_sharing(2) == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])  # noqa: S104
def test_an_address_for_others_without_a_name_for_them_is_noted(settings: Settings, host: str) -> None:
    settings.NAMED_HOSTS = []
    (message,) = server_checks.problems_of_address(Address(host, 8000))
    assert message.id == "llm_proxy.W022"
    assert server_checks.problems_of_address(Address("127.0.0.1", 8000)) == []
    settings.NAMED_HOSTS = ["localhost"]
    assert server_checks.problems_of_address(Address(host, 8000)) == []


@pytest.mark.parametrize(
    ("name", "value", "check_id"),
    [
        ("TRACES_PROTOCOL", "grpc", "llm_proxy.W031"),
        ("TRACES_CA_FILE", "/nowhere/ca.pem", "llm_proxy.W032"),
    ],
)
def test_what_keeps_traces_from_coming_is_a_warning_where_they_are_wanted(
    settings: Settings, name: str, value: str, check_id: str
) -> None:
    setattr(settings, name, value)
    assert run() == []
    settings.TRACES_ENDPOINT = "http://127.0.0.1:4318/v1/traces"
    (message,) = run()

    assert (message.id, message.level) == (check_id, WARNING)
    assert message.hint


def test_an_endpoint_for_traces_without_the_extra_is_a_warning(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configuration, "find_spec", missing)
    settings.TRACES_ENDPOINT = "http://127.0.0.1:4318/v1/traces"
    (message,) = run()

    assert (message.id, message.level) == ("llm_proxy.W030", WARNING)
    assert "requirements-traces.txt" in message.hint
    assert open_tracer() is None


def missing(name: str) -> None:
    raise ModuleNotFoundError(name)
