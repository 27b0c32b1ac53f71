"""The Python in the documents runs, with OpenAI's SDK, on a real server."""

import ast
import asyncio
import inspect

import pytest

from tests.documents.blocks import Block, blocks, documents_with
from tests.factories import ProjectFactory, issue_token
from tests.live import LiveProxy

BLOCKS = [block for document in documents_with("python") for block in blocks(document, "python")]
OF_CLIENTS = "langchain"
"""What has this needs an environment of its own: tests/clients/test_snippets.py."""


@pytest.mark.parametrize("block", [block for block in BLOCKS if OF_CLIENTS not in block.text], ids=str)
def test_python_of_a_document_runs(block: Block, live: LiveProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    _, plain = issue_token(project=ProjectFactory.create(permits_renewal=True))
    monkeypatch.setenv("OPENAI_BASE_URL", live.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", plain)
    asked_before = live.upstream_stats()["requests"]
    text = block.text.replace("sk-wt-...", plain)
    for address in ("http://127.0.0.1:8000", "https://llm-proxy.example.com"):
        text = text.replace(address, live.url)
    program = compile(text, str(block), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    # Those with an `await` of their own are coroutines.
    result = eval(program, {"__name__": "__main__"})  # noqa: S307
    if inspect.iscoroutine(result):
        asyncio.run(result)
    assert f"Bearer {plain}" not in live.log()
    assert live.upstream_stats()["requests"] > asked_before
