"""Requests to a proxy whose upstream fails, and what became of each of them."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from uuid_utils.compat import uuid7

from projects.models import Project
from tests.factories import issue_token
from tests.live import LiveProxy, eventually
from usage.models import UsageRecord

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
KINDS: dict[str, dict[str, Any]] = {
    "get": {"method": "GET", "url": "/models"},
    "post": {"method": "POST", "url": "/chat/completions", "json": CHAT},
    "stream": {"method": "POST", "url": "/chat/completions", "json": CHAT | {"stream": True}},
    "upload": {
        "method": "POST",
        "url": "/files",
        "data": {"purpose": "batch"},
        "files": {"file": ("a.jsonl", b"{}\n" * 1000)},
    },
}


@dataclass(frozen=True)
class Seen:
    """What a client, upstream and the ledger saw of one request."""

    status: int | None
    """None: not even a head."""
    headers: httpx.Headers
    body: bytes
    is_broken: bool
    """Whether the answer broke off."""
    upstream_requests: int
    record: UsageRecord

    @property
    def code(self) -> str | None:
        error = httpx.Response(200, content=self.body).json().get("error") or {}
        code: str | None = error.get("code")
        return code


def ask(live: LiveProxy, kind: str, project: Project | None = None, **headers: str) -> Seen:
    """Headers with `_` for `-`; those of the fake upstream without their `x-fake-`, by `fake_status=...`."""
    token, plain = issue_token(**({"project": project} if project else {}))
    marker = str(uuid7())
    sent = {
        name.replace("fake_", "x-fake-", 1).replace("_", "-"): value for name, value in headers.items()
    } | {"authorization": f"Bearer {plain}", "x-marker": marker}
    what = KINDS[kind] | {"url": f"{live.base_url}{KINDS[kind]['url']}"}
    status, answered, body, is_broken = None, httpx.Headers(), b"", False
    try:
        with httpx.stream(**what, headers=sent, timeout=60) as answer:
            status, answered = answer.status_code, answer.headers
            for chunk in answer.iter_raw():
                body += chunk
    except httpx.RemoteProtocolError:
        is_broken = True
    record = eventually(lambda: UsageRecord.objects.filter(token=token).first())
    assert UsageRecord.objects.filter(token=token).count() == 1
    return Seen(status, answered, body, is_broken, len(live.upstream_requests(marker)), record)


@contextmanager
def closed_port() -> Iterator[str]:
    """The base URL of an upstream that refuses connections: bound, so that nobody else gets it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}/v1"
