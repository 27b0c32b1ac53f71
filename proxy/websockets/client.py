"""The client's side of one WebSocket: the handshake's answer, messages both ways, and its end."""

import time
from collections.abc import Callable

from proxy.errors import ProxyError
from proxy.tracing.trace import Trace
from proxy.types import Headers, Message, Receive, Send

MAX_REASON_BYTES = 123
"""RFC 6455 section 5.5: a close frame has no room for more."""
NO_CODE, ABNORMAL = 1005, 1006
POLICY, UPSTREAM_FAILED, RESTART, GOING_AWAY, NORMAL = 1008, 1011, 1012, 1001, 1000


class SocketClosed(Exception):
    """The client has closed, or hung up (1006)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code)
        self.code = code
        self.reason = reason


class SocketClient:
    trace: Trace | None = None
    """As `Client` has it."""

    def __init__(self, receive: Receive, send: Send, *, can_refuse: bool) -> None:
        """`can_refuse`: the server can answer the handshake with an HTTP status and a body of ours."""
        self.status: int | None = None
        """What the handshake was answered with; None until it was."""
        self.received_bytes = 0
        self.sent_bytes = 0
        self.first_byte_seconds: float | None = None
        self.head_seconds: float | None = None
        self.waited_seconds = 0.0
        self.is_gone = False
        self.before_end: Callable[[int], None] = lambda coming_bytes: None
        """Called with the number of bytes that go out next, and are the last."""
        self._receive = receive
        self._send = send
        self._can_refuse = can_refuse
        self._began = time.perf_counter()

    def elapsed_seconds(self) -> float:
        """Since the handshake began."""
        return time.perf_counter() - self._began

    async def accept(self, subprotocol: str | None, headers: Headers) -> None:
        self.status = 101
        self.first_byte_seconds = self.elapsed_seconds()
        await self._send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": headers})

    async def refuse(self, error: ProxyError, *more_headers: tuple[bytes, bytes]) -> None:
        """Say in the handshake's answer what is wrong."""
        headers = [(b"content-type", b"application/json"), *error.headers(), *more_headers]
        await self.answer(error.status, headers, error.body())

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Anything but a WebSocket. Where the server cannot, it says 403."""
        if not self._can_refuse:
            self.status = 403
            self.before_end(0)
            await self._send({"type": "websocket.close", "code": POLICY})
            return
        self.status = status
        self.sent_bytes += len(body)
        self.before_end(0)
        headers = [*headers, (b"content-length", b"%d" % len(body))]
        await self._send({"type": "websocket.http.response.start", "status": status, "headers": headers})
        await self._send({"type": "websocket.http.response.body", "body": body})

    async def next(self) -> str | bytes:
        """The next message: text or bytes, as it was sent. Raises SocketClosed."""
        while True:
            message: Message = await self._receive()
            if message["type"] == "websocket.disconnect":
                self.is_gone = True
                raise SocketClosed(message.get("code", NO_CODE), message.get("reason") or "")
            if message["type"] != "websocket.receive":
                continue
            text: str | None = message.get("text")
            data: str | bytes = text if text is not None else message.get("bytes") or b""
            self.received_bytes += len(data)
            return data

    async def send(self, data: str | bytes) -> None:
        """Waits while the client reads slower than we write."""
        self.sent_bytes += len(data)
        kind = "text" if isinstance(data, str) else "bytes"
        await self._send({"type": "websocket.send", kind: data})

    async def close(self, code: int, reason: str) -> None:
        self.before_end(0)
        if not self.is_gone:
            self.is_gone = True
            await self._send({"type": "websocket.close", "code": code, "reason": truncated(reason)})


def truncated(reason: str) -> str:
    """As much of it as a close frame has room for, whole characters."""
    return reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")


def is_sendable(code: int) -> bool:
    """Whether a close frame may carry this code: RFC 6455 section 7.4."""
    return code in (1000, 1001, 1002, 1003, *range(1007, 1015)) or 3000 <= code <= 4999
