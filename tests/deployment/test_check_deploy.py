"""`check --deploy` on what is shipped: it has nothing to say that an operator must mend, or be used to."""

import os
import re
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from llm_proxy_site.processes import MANAGE
from tests.deployment.test_compose import SERVICES
from tests.deployment.test_kubernetes import CONFIG

FOR_ALL = {"SECRET_KEY": secrets.token_urlsafe(48), "DATABASE_URL": ""}
SHARED = {
    name: value.replace("${SITE_ADDRESS:-localhost}", "proxy.example.com").replace(
        "${POSTGRES_PASSWORD:-}", "x"
    )
    for name, value in SERVICES["replica"]["environment"].items()
}
FRONT = {
    "ALLOWED_HOSTS": "proxy.example.com",
    "USE_X_FORWARDED_PROTO": "true",
    "TRUSTED_PROXY_COUNT": "1",
}
SHIPPED = {
    "as it is": {},
    "compose": SERVICES["llm-proxy"]["environment"],
    "compose, to scale": SHARED,
    "kubernetes": CONFIG,
}


def check(folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(MANAGE), "check", "--deploy", "--fail-level", "WARNING"],
        env={**os.environ, "DATA_DIR": str(folder), **FOR_ALL, **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_shipped_is_clean(tmp_path: Path, name: str) -> None:
    done = check(tmp_path, SHIPPED[name])

    assert (done.returncode, done.stderr) == (0, "")
    assert "no issues" in done.stdout


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
