"""`check --deploy` on what is shipped: it has nothing to say that an operator must mend, or be used to."""

import json
import os
import re
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from llm_proxy_site.processes import MANAGE
from tests.deployment.dockerfile import stages
from tests.deployment.test_compose import SERVICES, interpolated
from tests.deployment.test_kubernetes import CONFIG

FOR_ALL = {"SECRET_KEY": secrets.token_urlsafe(48), "DATABASE_URL": "", "ALLOWED_HOSTS": ""}
SHARED = interpolated(
    SERVICES["replica"]["environment"], SITE_ADDRESS="proxy.example.com", POSTGRES_PASSWORD="x"
)
FRONT = {
    "ALLOWED_HOSTS": "proxy.example.com",
    "USE_X_FORWARDED_PROTO": "true",
    "TRUSTED_PROXY_COUNT": "1",
}
SHIPPED = {
    "as it is": {},
    "compose": interpolated(SERVICES["llm-proxy"]["environment"]),
    "compose, to scale": SHARED,
    "kubernetes": CONFIG,
}


REPORT = """
import sys
import django
django.setup()
from llm_proxy_site.addresses import parse_address
from llm_proxy_site.start_report import report
report(parse_address(sys.argv[1]), "daphne", 1)
"""
"""What `serve` says as it starts, without listening."""


def check(folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return run(folder, environment, str(MANAGE), "check", "--deploy", "--fail-level", "WARNING")


def to_mend(folder: Path, environment: dict[str, str]) -> list[str]:
    """Of the image, as its server starts: checks by their ids."""
    (command,) = stages()[-1].of("CMD")
    serve, bind, address = json.loads(command)
    assert (serve, bind) == ("serve", "--bind")
    done = run(folder, {"LOG_FORMAT": "json", **environment}, "-c", REPORT, address)
    assert done.returncode == 0, done.stderr
    return [line["check"] for line in map(json.loads, done.stderr.splitlines()) if line["event"] == "to mend"]


def run(folder: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "DATA_DIR": str(folder), **FOR_ALL, **environment},
        cwd=MANAGE.parent,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_shipped_is_clean(tmp_path: Path, name: str) -> None:
    done = check(tmp_path, SHIPPED[name])

    assert (done.returncode, done.stderr) == (0, "")
    assert "no issues" in done.stdout


@pytest.mark.parametrize("name", [name for name in SHIPPED if name != "as it is"])
def test_a_container_as_it_is_shipped_starts_with_nothing_to_mend(tmp_path: Path, name: str) -> None:
    assert to_mend(tmp_path, SHIPPED[name]) == []


def test_a_container_that_nobody_told_its_names_asks_for_them(tmp_path: Path) -> None:
    assert to_mend(tmp_path, {}) == ["llm_proxy.W022"]


@pytest.mark.parametrize("host", ["localhost", "localhost,127.0.0.1,[::1]"])
def test_names_of_this_machine_that_were_set_are_meant(tmp_path: Path, host: str) -> None:
    assert to_mend(tmp_path, {"ALLOWED_HOSTS": host}) == []


@pytest.mark.parametrize(
    ("environment", "check_id"),
    [
        ({"ALLOWED_HOSTS": "proxy.example.com"}, "llm_proxy.W050"),
        ({"SECRET_KEY": "short"}, "security.W009"),
        ({"DEBUG": "true"}, "security.W018"),
        ({**FRONT, "TRUSTED_PROXY_COUNT": ""}, "llm_proxy.W051"),
        ({**FRONT, "ALLOWED_HOSTS": "*"}, "llm_proxy.W052"),
        ({"METRICS_NETWORKS": "127.0.0.1,0.0.0.0/0"}, "llm_proxy.W053"),
        ({"METRICS_NETWORKS": "::/0"}, "llm_proxy.W053"),
    ],
)
def test_what_must_be_mended_is_told(tmp_path: Path, environment: dict[str, str], check_id: str) -> None:
    done = check(tmp_path, environment)

    assert done.returncode == 1
    assert re.findall(r"\((\w+\.W\d+)\)", done.stderr) == [check_id]


def test_a_token_makes_up_for_networks_of_everybody(tmp_path: Path) -> None:
    done = check(tmp_path, {"METRICS_NETWORKS": "0.0.0.0/0,::/0", "METRICS_TOKEN": secrets.token_hex(32)})

    assert (done.returncode, done.stderr) == (0, "")
