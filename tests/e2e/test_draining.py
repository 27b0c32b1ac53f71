"""Clients that hang up, of projects that want to know what their requests have used all the same."""

import contextlib
import json
import signal
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from django.utils import timezone

from tests.factories import ProjectFactory, issue_token
from tests.live import LiveProxy, eventually
from tokens import lifecycle
from tokens.models import AccessToken
from usage.models import UsageRecord

WORDS = 12
SLOWLY = {"x-fake-chunk-delay-ms": "50", "x-fake-chunks": str(WORDS)}
FOR_LONG = {"x-fake-chunk-delay-ms": "100", "x-fake-chunks": "600"}
CHAT: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}


def a_token(drain_seconds: int = 60, **limits: Any) -> tuple[AccessToken, str]:
    project = ProjectFactory.create(disconnect_policy="drain", drain_seconds=drain_seconds)
    return issue_token(project=project, **limits)


def hang_up(live: LiveProxy, token: AccessToken, plain: str, **faults: str) -> None:
    """In the middle of a stream, when the proxy already looks whether its client is there."""
    headers = {"authorization": f"Bearer {plain}", "content-type": "application/json", "x-m": str(token.id)}
    body = json.dumps({**CHAT, "stream": True})
    url = f"{live.base_url}/chat/completions"
    with httpx.stream("POST", url, content=body, headers={**headers, **faults}) as answer:
        pieces = answer.iter_raw()
        next(pieces)
        next(pieces)


def record_of(token: AccessToken) -> UsageRecord:
    return eventually(lambda: UsageRecord.objects.filter(token=token).first())


def state_upstream(live: LiveProxy, token: AccessToken) -> str:
    state: str = live.upstream_requests(str(token.id))[0]["state"]
    return state


def test_a_stream_is_read_on_to_learn_what_it_has_used(live: LiveProxy) -> None:
    token, plain = a_token()
    hang_up(live, token, plain, **SLOWLY)
    record = record_of(token)

    assert (record.outcome, record.usage_source, record.output_tokens) == ("client_closed", "upstream", WORDS)
    assert record.cost_source == "price"
    assert record.response_bytes < 1000
    assert state_upstream(live, token) == "finished"


def test_by_default_upstream_is_told_at_once(live: LiveProxy) -> None:
    token, plain = issue_token()
    hang_up(live, token, plain, **FOR_LONG)
    record = record_of(token)

    assert (record.outcome, record.usage_source) == ("client_closed", "estimated")
    eventually(lambda: state_upstream(live, token) == "closed_by_client")


def test_an_answer_that_has_not_begun_is_waited_for(live: LiveProxy) -> None:
    token, plain = a_token()
    headers = {"authorization": f"Bearer {plain}", "x-fake-delay-ms": "1000"}
    with contextlib.suppress(httpx.ReadTimeout):
        httpx.post(f"{live.base_url}/chat/completions", json=CHAT, headers=headers, timeout=0.3)
    record = record_of(token)

    assert (record.outcome, record.usage_source, record.status) == ("client_closed", "upstream", None)
    assert record.duration_seconds >= 1


def test_it_is_read_on_for_so_long_and_no_longer(live: LiveProxy) -> None:
    token, plain = a_token(drain_seconds=1)
    hang_up(live, token, plain, **FOR_LONG)
    record = record_of(token)

    assert (record.outcome, record.usage_source) == ("client_closed", "estimated")
    assert 1 <= record.duration_seconds < 10
    eventually(lambda: state_upstream(live, token) == "closed_by_client")


def test_a_token_that_is_revoked_is_read_on_for_no_longer(live: LiveProxy) -> None:
    token, plain = a_token()
    hang_up(live, token, plain, **FOR_LONG)
    lifecycle.revoke(token, actor="user:ada", now=timezone.now())
    record = record_of(token)

    assert (record.outcome, record.error_code) == ("client_closed", "")
    assert record.duration_seconds < 10


def test_the_request_counts_as_running_while_it_is_read_on(live: LiveProxy) -> None:
    token, plain = a_token(max_concurrent_requests=1)
    headers = {"authorization": f"Bearer {plain}"}
    hang_up(live, token, plain, **{**SLOWLY, "x-fake-chunk-delay-ms": "200"})

    assert httpx.get(f"{live.base_url}/models", headers=headers).status_code == 429
    eventually(lambda: httpx.get(f"{live.base_url}/models", headers=headers).status_code == 200)
    drained = UsageRecord.objects.filter(token=token, outcome="client_closed", usage_source="upstream")
    eventually(drained.exists)


@pytest.mark.parametrize("fault", [{"x-fake-cut-after": "5"}, {"x-fake-end-after": "5"}])
def test_upstream_that_breaks_off_meanwhile_is_not_what_ended_it(
    live: LiveProxy, fault: dict[str, str]
) -> None:
    token, plain = a_token()
    hang_up(live, token, plain, **SLOWLY, **fault)

    assert record_of(token).outcome == "client_closed"


def test_it_does_not_hold_up_a_server_that_stops(private_live: LiveProxy) -> None:
    token, plain = a_token()
    hang_up(private_live, token, plain, **FOR_LONG)
    began = time.monotonic()
    private_live.process.send_signal(signal.SIGTERM)

    assert private_live.process.wait(timeout=20) == 0
    assert time.monotonic() - began < 10
    assert UsageRecord.objects.get(token=token).outcome == "client_closed"


def test_nor_does_one_whose_body_is_read_while_it_stops(private_live: LiveProxy) -> None:
    token, plain = a_token()
    body = json.dumps({**CHAT, "stream": True})
    headers = {
        "host": "x",
        "authorization": f"Bearer {plain}",
        "content-type": "application/json",
        "content-length": str(len(body)),
        "expect": "100-continue",
        **FOR_LONG,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    server = urlsplit(private_live.url)
    with socket.create_connection((server.hostname, server.port), timeout=10) as client:
        client.sendall(f"POST /v1/chat/completions HTTP/1.1\r\n{head}\r\n".encode())
        assert client.recv(65536).startswith(b"HTTP/1.1 100")
        private_live.process.send_signal(signal.SIGTERM)
        eventually(lambda: not private_live.listens())
        client.sendall(body.encode())
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
    began = time.monotonic()

    assert private_live.process.wait(timeout=40) == 0
    assert time.monotonic() - began < 10
    assert UsageRecord.objects.get(token=token).outcome == "client_closed"
