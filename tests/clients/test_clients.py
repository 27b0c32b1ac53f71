"""Programs that others wrote, unchanged: they are told a base URL and a key, and nothing else."""

import json
import os
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from llm_proxy_site.fake_upstream.words import text
from tests.clients.conftest import FOLDER
from tests.factories import issue_token
from tests.live import LiveProxy, eventually
from tokens.models import AccessToken
from usage.models import UsageRecord

PROGRAMS = FOLDER / "programs"
SAID = text(8)
# What would ask other hosts than the proxy: LiteLLM for prices, the Agents SDK to store its traces.
QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "OPENAI_AGENTS_DISABLE_TRACING": "1"}
SECONDS = 120


def run(live: LiveProxy, plain: str, folder: Path, *command: object) -> str:
    """What the program prints."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "OPENAI_BASE_URL": live.base_url,
        "OPENAI_API_KEY": plain,
        **QUIET,
    }
    done = subprocess.run(
        list(map(str, command)), env=environment, cwd=folder, capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def endpoints(token: AccessToken, count: int) -> Counter[str]:
    """How often each was asked, when so many requests are in the ledger; all of them succeeded."""
    records = eventually(
        lambda: (found := list(UsageRecord.objects.filter(token=token))) and len(found) >= count and found
    )
    assert {record.outcome for record in records if record.status == 200} == {"completed"}
    return Counter(f"{record.method} {record.endpoint}" for record in records if record.status == 200)


def test_the_python_sdk_keeps_a_library(live: LiveProxy, clients_python: Path, tmp_path: Path) -> None:
    token, plain = issue_token()
    facts: dict[str, Any] = json.loads(
        run(live, plain, tmp_path, clients_python, PROGRAMS / "openai_sdk.py").splitlines()[-1]
    )

    assert facts == {
        "models": 25,
        "flagged": False,
        "dimensions": 1536,
        "file_bytes": 19_000,
        "store": "notes",
        "found": True,
        "batches": ["batch"],
        "upload": "completed",
        "audio_bytes": 65_536,
        "heard": SAID,
        "heard_events": "transcript.text.done",
        "translated": SAID,
        "images": 2,
        "edited": "image_edit.completed",
        "deltas": 8,
        "response_tokens": 26,
        "said": SAID,
        "deleted": True,
    }
    asked = endpoints(token, 25)
    assert asked["POST /files"] == asked["POST /audio/transcriptions"] == 2
    assert asked["POST /uploads/{id}/parts"] == asked["DELETE /vector_stores/{id}"] == 1
    assert asked.total() == 25


def test_the_node_sdk_does_the_same(live: LiveProxy, node: Path, tmp_path: Path) -> None:
    token, plain = issue_token()
    facts: dict[str, Any] = json.loads(run(live, plain, tmp_path, node, FOLDER / "node/program.mjs"))

    assert facts == {
        "models": 25,
        "flagged": False,
        "dimensions": 1536,
        "fileBytes": 300_000,
        "store": "notes",
        "found": 1,
        "batch": "batch",
        "audioBytes": 65_536,
        "heard": SAID,
        "images": 2,
        "whole": SAID,
        "streamed": SAID,
        "lastEvent": "response.completed",
        "refused": [404, "endpoint_not_found", True],
        "deleted": True,
    }
    assert endpoints(token, 15).total() == 14  # and the one that was refused


def test_langchain_runs_a_chain(live: LiveProxy, clients_python: Path, tmp_path: Path) -> None:
    token, plain = issue_token()
    facts = json.loads(run(live, plain, tmp_path, clients_python, PROGRAMS / "langchain_chat.py"))

    assert facts == {
        "whole": SAID,
        "streamed": SAID,
        "batch": [SAID, SAID],
        "responses": SAID,
        "dimensions": [1536, 1536],
    }
    assert endpoints(token, 6) == {"POST /chat/completions": 4, "POST /responses": 1, "POST /embeddings": 1}


def test_an_agent_runs(live: LiveProxy, clients_python: Path, tmp_path: Path) -> None:
    token, plain = issue_token()
    facts = json.loads(run(live, plain, tmp_path, clients_python, PROGRAMS / "agent.py"))

    assert (facts["whole"], facts["streamed"]) == (SAID, SAID)
    assert endpoints(token, 2) == {"POST /responses": 2}


def test_litellm_is_a_client(live: LiveProxy, clients_python: Path, tmp_path: Path) -> None:
    token, plain = issue_token()
    facts = json.loads(run(live, plain, tmp_path, clients_python, PROGRAMS / "litellm_client.py"))

    assert (facts["whole"], facts["streamed"], facts["responses"]) == (SAID, SAID, "completed")
    assert endpoints(token, 4) == {"POST /chat/completions": 2, "POST /embeddings": 1, "POST /responses": 1}


@pytest.mark.parametrize("options", [[], ["--no-stream"]])
def test_the_llm_command_is_a_client(
    live: LiveProxy, clients_python: Path, tmp_path: Path, options: list[str]
) -> None:
    token, plain = issue_token()
    llm = clients_python.with_name("llm")

    assert run(live, plain, tmp_path, llm, "-m", "gpt-4o-mini", *options, "Say hi").strip() == SAID
    assert endpoints(token, 1) == {"POST /chat/completions": 1}
