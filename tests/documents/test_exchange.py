"""What docs/exchange.md has a CI job and a pod do gives them a token that works."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.documents.blocks import blocks
from tests.factories import TrustRuleFactory
from tests.issuers import AUDIENCE, Issuer, serving_as
from tests.live import LiveProxy

WORKFLOW, POD = (yaml.safe_load(block.text) for block in blocks("docs/exchange.md", "yaml"))


class Platform(Issuer):
    """Gives a job its JWT, as GitHub does."""

    def document(self, path: str) -> dict[str, Any]:
        return {"value": self.jwt()} if path.startswith("/job?") else super().document(path)


@pytest.fixture
def platform(live: LiveProxy) -> Iterator[Platform]:
    with serving_as(Platform) as platform:
        TrustRuleFactory.create(issuer=platform.url)
        yield platform


@pytest.mark.skipif(not shutil.which("jq"), reason="no jq, which GitHub's machines have")
def test_the_steps_of_a_workflow(live: LiveProxy, platform: Platform, tmp_path: Path) -> None:
    step, _ = WORKFLOW["jobs"]["evaluate"]["steps"]
    environment = {
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{platform.url}/job?api-version=2",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of-the-job",
        "GITHUB_ENV": str(tmp_path / "env"),
    }
    printed = run(step["run"].replace(AUDIENCE, live.url), **environment)
    variables = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())
    assert variables["OPENAI_BASE_URL"] == live.base_url
    assert printed == f"::add-mask::{variables['OPENAI_API_KEY']}\n"
    assert works(live, variables["OPENAI_API_KEY"])
    assert platform.asked[0] == "/job?api-version=2&audience=https%3A%2F%2Fllm-proxy.example.com"


def test_the_container_that_gets_a_pod_its_token(live: LiveProxy, platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(platform.jwt())
    (container,) = POD["spec"]["initContainers"]
    assert container["command"] == ["sh", "-c"]
    (script,) = container["args"]
    for shown, meant in ((AUDIENCE, live.url), ("/llm/", f"{tmp_path}/"), ("/jwt/", f"{tmp_path}/")):
        script = script.replace(shown, meant)
    for _ in range(2):  # as when it starts again
        run(script)
        assert works(live, json.loads((tmp_path / "token.json").read_text())["access_token"])


def run(script: str, **environment: str) -> str:
    done = subprocess.run(
        ["sh", "-ec", script], env={**os.environ, **environment}, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def works(live: LiveProxy, token: str) -> bool:
    answer = httpx.get(f"{live.base_url}/models", headers={"Authorization": f"Bearer {token}"})
    return answer.status_code == 200
