"""docker-compose.yml: what Compose's schema cannot see. `make check` validates it against that."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

from llm_proxy_site.front_checks import THIS_MACHINE

ROOT = Path(settings.BASE_DIR)
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("setup", "llm-proxy", "setup-shared", "replica")
MARGIN_SECONDS = 20
"""For what the server writes and corrects after its requests have ended."""


def started(profile: str | None) -> set[str]:
    return {
        name
        for name, service in SERVICES.items()
        if not service.get("profiles") or profile in service["profiles"]
    }


def interpolated(environment: dict[str, str], **variables: str) -> dict[str, str]:
    """As Compose does it: `${NAME:-default}`."""
    return {
        name: re.sub(r"\$\{(\w+):-(.*?)\}", lambda found: variables.get(*found.groups()), value)
        for name, value in environment.items()
    }


def seconds(period: str) -> int:
    assert period.endswith("s")
    return int(period[:-1])


def test_by_default_there_is_one_server_on_sqlite() -> None:
    assert started(None) == {"setup", "llm-proxy"}
    assert "DATABASE_URL" not in SERVICES["llm-proxy"]["environment"]
    assert SERVICES["llm-proxy"]["ports"] == ["127.0.0.1:8000:8000"]


def test_the_names_of_the_site_are_set_and_can_be_set_otherwise() -> None:
    """What `environment` says stands above `.env`, which Compose reads for its variables, too."""
    environment = SERVICES["llm-proxy"]["environment"]

    assert set(interpolated(environment)["ALLOWED_HOSTS"].split(",")) == THIS_MACHINE
    mine = interpolated(environment, ALLOWED_HOSTS="proxy.example.com")
    assert mine["ALLOWED_HOSTS"] == "proxy.example.com"


def test_to_scale_replicas_share_a_database_a_redis_and_a_front() -> None:
    assert started("scale") - started(None) == {"setup-shared", "replica", "front", "postgres", "redis"}
    shared = SERVICES["replica"]["environment"]
    assert "@postgres:" in shared["DATABASE_URL"]
    assert "//redis:" in shared["REDIS_URL"]
    assert "ports" not in SERVICES["replica"]


def test_the_front_needs_nothing_of_the_single_server() -> None:
    wanted, found = {"front"}, set()
    while wanted:
        name = wanted.pop()
        found.add(name)
        wanted |= set(SERVICES[name].get("depends_on", {})) - found

    assert found == started("scale") - started(None)


@pytest.mark.parametrize("name", OURS)
def test_our_containers_can_do_little(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"]
    assert service["init"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["tmpfs"] == ["/tmp"]  # noqa: S108


@pytest.mark.parametrize("name", ["llm-proxy", "replica"])
def test_running_requests_have_the_time_that_they_are_promised(name: str) -> None:
    service = SERVICES[name]
    drain = int(service["environment"]["SHUTDOWN_GRACE_SECONDS"])

    assert seconds(service["stop_grace_period"]) >= drain + MARGIN_SECONDS


def test_the_front_ends_no_stream_before_the_replicas_do() -> None:
    drain = int(SERVICES["replica"]["environment"]["SHUTDOWN_GRACE_SECONDS"])
    front = (ROOT / "deploy/front/Caddyfile").read_text(encoding="utf-8")

    assert seconds(re.findall(r"grace_period (\S+)", front)[0]) >= drain
    assert seconds(SERVICES["front"]["stop_grace_period"]) > drain
    assert seconds(re.findall(r"keepalive (\S+)", front)[0]) < settings.CLIENT_IDLE_TIMEOUT_SECONDS
    assert "{$REPLICA_NAME:replica} {$REPLICA_PORT:8000}" in front


def test_database_and_redis_are_reached_from_inside_only() -> None:
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    for name in ("postgres", "redis"):
        assert SERVICES[name]["networks"] == ["inside"]
        assert "ports" not in SERVICES[name]


def test_no_password_is_written_in_it() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")

    assert set(re.findall(r"POSTGRES_PASSWORD: (\S+)", text)) == {"${POSTGRES_PASSWORD:-}"}
    assert re.findall(r"postgres://(\S+)@", text) == ["llm_proxy:${POSTGRES_PASSWORD:-}"]


@pytest.mark.parametrize("name", [name for name in SERVICES if name not in ("setup", "setup-shared")])
def test_what_serves_starts_again_and_its_log_is_bounded(name: str) -> None:
    assert SERVICES[name]["restart"] == "unless-stopped"
    assert SERVICES[name]["logging"]["options"]["max-size"]


def test_every_setting_that_it_gives_exists() -> None:
    for name in OURS:
        assert set(SERVICES[name]["environment"]) - {"REPLICAS"} <= set(settings.ENVIRONMENT.names)


@pytest.mark.parametrize("name", OURS)
def test_another_number_of_replicas_makes_no_container_anew(name: str) -> None:
    """What is in a container's environment is: `.env` is, but for what stands in `environment`."""
    assert SERVICES[name]["env_file"]
    assert SERVICES[name]["environment"]["REPLICAS"] == ""
    assert SERVICES["replica"]["deploy"]["replicas"] == "${REPLICAS:-2}"
