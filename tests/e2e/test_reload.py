"""SIGHUP: the providers are read anew, and no request feels it."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from llm_proxy_site.processes import running
from tests.factories import ProjectFactory, issue_token
from tests.live import LiveProxy, eventually, proxy_before

FILE = """
providers:
  openai: {{}}
  other: {{base_url: {origin}/openai/v1}}
families:
  all:
    - {{path: /chat/completions, methods: [POST], usage: openai}}
"""
MODELS = "    - {path: /models, methods: [GET]}\n"
STREAM = {
    "model": "gpt-4o-mini",
    "stream": True,
    "messages": [{"role": "user", "content": "Say something long."}],
}


@dataclass(frozen=True)
class Server:
    live: LiveProxy
    file: Path
    text: str

    def reload(self, text: str, *, then: str) -> None:
        """Returns when the log says so."""
        before = self.live.log().count(then)
        self.file.write_text(text)
        os.kill(self.live.process.pid, signal.SIGHUP)
        eventually(lambda: self.live.log().count(then) > before)


@pytest.fixture
def server(django_db_setup: None, transactional_db: None, tmp_path: Path) -> Iterator[Server]:
    with running("-m", "llm_proxy_site.fake_upstream", "--bind", "127.0.0.1:0") as (_, line):
        upstream_url = line.split()[-1]
        file = tmp_path / "providers.yaml"
        text = FILE.format(origin=upstream_url.removesuffix("/v1"))
        file.write_text(text)
        with proxy_before(upstream_url, tmp_path / "proxy.log", PROVIDERS_FILE=str(file)) as live:
            yield Server(live, file, text)


def get_models(server: Server, plain: str) -> int:
    headers = {"authorization": f"Bearer {plain}"}
    return httpx.get(f"{server.live.base_url}/models", headers=headers).status_code


def test_what_is_added_is_allowed_and_what_is_removed_is_not(server: Server) -> None:
    _, plain = issue_token()
    assert get_models(server, plain) == 404
    server.reload(server.text + MODELS, then="providers are reloaded")
    assert get_models(server, plain) == 200
    server.reload(server.text, then="providers are reloaded")
    assert get_models(server, plain) == 404


def test_it_is_read_anew_before_the_first_request_too(server: Server) -> None:
    _, plain = issue_token()
    server.reload(server.text + MODELS, then="providers are reloaded")
    assert get_models(server, plain) == 200


@pytest.mark.parametrize("asked_before", [True, False])
def test_an_invalid_file_is_logged_with_its_lines_and_the_old_one_stays(
    server: Server, asked_before: bool
) -> None:
    _, plain = issue_token()
    server.reload(server.text + MODELS, then="providers are reloaded")
    if asked_before:
        assert get_models(server, plain) == 200
    bad = server.text + "    - {path: /x, methods: [FETCH]}\n    - {path: /y}\n"
    server.reload(bad, then="providers.yaml:9")

    told = [json.loads(line) for line in server.live.log().splitlines() if "the old ones stay" in line]
    assert [(line["level"], line["problem"].removeprefix(f"{server.file}:")[:2]) for line in told] == [
        ("error", "8:"),
        ("error", "9:"),
    ]
    assert get_models(server, plain) == 200
    server.reload(server.text, then="providers are reloaded")
    assert get_models(server, plain) == 404


@contextmanager
def a_stream(server: Server, plain: str) -> Iterator[Callable[[], list[str]]]:
    """One that has begun, and lasts 3 s; what it gives is the lines from now to its end."""
    headers = {
        "authorization": f"Bearer {plain}",
        "x-fake-chunks": "30",
        "x-fake-chunk-delay-ms": "100",
        "x-marker": "reload-marker",
    }
    url = f"{server.live.base_url}/chat/completions"
    with httpx.stream("POST", url, json=STREAM, headers=headers) as response:
        lines = response.iter_lines()
        assert next(lines).startswith("data: ")
        yield lambda: [line for line in lines if line]


def test_a_running_stream_keeps_what_it_began_with(server: Server) -> None:
    plain = issue_token(project=ProjectFactory.create(provider="other"))[1]
    gone = server.text.replace("/chat/completions, methods: [POST], usage: openai", "/models, methods: [GET]")
    gone = "\n".join(line for line in gone.splitlines() if "other" not in line)
    with a_stream(server, plain) as rest:
        server.reload(gone, then="providers are reloaded")
        assert get_models(server, plain) == 503
        assert get_models(server, issue_token()[1]) == 200
        (request,) = server.live.upstream_requests("reload-marker")
        assert request["state"] == "running"
        lines = rest()

    assert len(lines) >= 30
    assert lines[-1] == "data: [DONE]"


def test_no_request_is_dropped_while_it_is_read_again_and_again(server: Server) -> None:
    _, plain = issue_token()
    server.reload(server.text + MODELS, then="providers are reloaded")
    headers = {"authorization": f"Bearer {plain}"}
    before = server.live.log().count("providers are reloaded")
    with httpx.Client(headers=headers) as client:
        for number in range(100):
            if number % 10 == 0:
                os.kill(server.live.process.pid, signal.SIGHUP)
            assert client.get(f"{server.live.base_url}/models").status_code == 200
    eventually(lambda: server.live.log().count("providers are reloaded") > before)
