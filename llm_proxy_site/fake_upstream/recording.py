"""What the upstream received, for tests to look at. It must stay cheap: the benchmark runs with it."""

import base64
import hashlib
import time
from collections import deque
from itertools import count
from typing import Any, Literal

import msgspec
from aiohttp import web

MAX_REQUESTS = 1000
MAX_KEPT_BODY_BYTES = 64 * 1024

State = Literal["running", "finished", "closed_by_client"]


class Record:
    """One request. Instants are seconds since 1970."""

    __slots__ = (
        "_log",
        "body_bytes",
        "ended_at",
        "id",
        "kept_body",
        "request",
        "sha256",
        "socket",
        "started_at",
        "state",
    )

    def __init__(self, log: "RequestLog", number: int, request: web.Request) -> None:
        self._log = log
        self.id = number
        self.request = request.method, request.raw_path, request.raw_headers
        self.body_bytes = 0
        self.kept_body = b""
        self.sha256 = hashlib.sha256()
        self.socket: dict[str, Any] | None = None
        """Of a WebSocket: what passed, and how it ended."""
        self.state: State = "running"
        self.started_at = time.time()
        self.ended_at: float | None = None

    def mentions(self, text: str) -> bool:
        """Whether its target or a header's value has this text."""
        _, target, headers = self.request
        sought = text.encode()
        return text in target or any(sought in value for _, value in headers)

    def feed(self, chunk: bytes) -> None:
        self.body_bytes += len(chunk)
        self.sha256.update(chunk)
        if self.body_bytes <= MAX_KEPT_BODY_BYTES:
            self.kept_body += chunk
        else:
            self.kept_body = b""

    def end(self, state: State) -> None:
        """The first end counts."""
        if self.state == "running":
            self.state = state
            self.ended_at = time.time()
            self._log.ended(self)

    def as_dict(self) -> dict[str, object]:
        method, target, headers = self.request
        kept = self.body_bytes <= MAX_KEPT_BODY_BYTES
        return {
            "id": self.id,
            "method": method,
            "target": target,
            "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in headers],
            "body_bytes": self.body_bytes,
            "body_sha256": self.sha256.hexdigest(),
            "body_base64": base64.b64encode(self.kept_body).decode() if kept else None,
            "state": self.state,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "socket": self.socket,
        }


class RequestLog:
    """The last requests, and counts of all since the last `clear`."""

    def __init__(self, *, remember: bool) -> None:
        self._remember = remember
        self._numbers = count(1)
        self.clear()
        self.running = 0

    def clear(self) -> None:
        self.records: deque[Record] = deque(maxlen=MAX_REQUESTS)
        self.requests = 0
        self.closed_by_client = 0

    def start(self, request: web.Request) -> Record:
        record = Record(self, next(self._numbers), request)
        self.requests += 1
        self.running += 1
        if self._remember:
            self.records.append(record)
        return record

    def ended(self, record: Record) -> None:
        self.running -= 1
        if record.state == "closed_by_client":
            self.closed_by_client += 1


LOG = web.AppKey("request_log", RequestLog)


async def list_requests(request: web.Request) -> web.Response:
    """All that are remembered, or those that mention the text of `?mentioning=`."""
    text = request.query.get("mentioning", "")
    return _json([record.as_dict() for record in request.app[LOG].records if record.mentions(text)])


async def clear_requests(request: web.Request) -> web.Response:
    request.app[LOG].clear()
    return web.Response(status=204)


async def stats(request: web.Request) -> web.Response:
    log = request.app[LOG]
    return _json({"requests": log.requests, "running": log.running, "closed_by_client": log.closed_by_client})


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")
