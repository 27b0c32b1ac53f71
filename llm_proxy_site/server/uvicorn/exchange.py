"""One request of a connection, and its answer on the way out."""

from collections.abc import Awaitable
from typing import TYPE_CHECKING

from llm_proxy_site.server.refusals import NO_BODY, PHRASES
from llm_proxy_site.server.request_body import RequestBody
from proxy.types import Headers, Message

if TYPE_CHECKING:
    from llm_proxy_site.server.uvicorn.connection import UvicornConnection

_STATUS_LINES = {
    status: b"HTTP/1.1 %d %b" % (status, PHRASES.get(status, b"")) for status in range(100, 1000)
}
_OURS = frozenset({b"connection", b"transfer-encoding"})
"""Headers of an answer that say how it is sent: that is the server's to say."""


class Exchange:
    __slots__ = (
        "_chunks",
        "_connection",
        "_declared",
        "_has_no_body",
        "_head",
        "_is_head",
        "_is_http_1_1",
        "_sent",
        "body",
        "has_started",
        "is_over",
    )

    def __init__(
        self, connection: "UvicornConnection", body: RequestBody, method: bytes, *, is_http_1_1: bool
    ) -> None:
        self.body = body
        self.has_started = False
        """Whether the answer has begun: its head goes out at once."""
        self.is_over = False
        """Answered, or not to be answered any more: what the application says then is not sent."""
        self._connection = connection
        self._is_head = method == b"HEAD"
        self._is_http_1_1 = is_http_1_1
        self._has_no_body = False
        self._chunks = False
        self._head = b""
        """What has not gone out yet of the answer's head: it does with what comes next, or in a moment."""
        self._declared: int | None = None
        """Bytes of the body, if the application has said how many."""
        self._sent = 0

    async def send(self, message: Message) -> None:
        if self.is_over:
            return
        if message["type"] == "http.response.start":
            self._start(message["status"], message.get("headers", ()))
            return
        body: bytes = message.get("body", b"")
        if not message.get("more_body", False):
            self._end(body)
            return
        waiting = self.write_on(body)
        if waiting is not None:
            await waiting

    def write_on(self, chunk: bytes) -> Awaitable[None] | None:
        """A part of an answer's body that is not its last, once it has begun: as by a message, only faster.
        What is returned is to be awaited: the client reads slowly.
        """
        if self.is_over or self._has_no_body:
            return None
        connection = self._connection
        if chunk:
            self._sent += len(chunk)
            if self._declared is not None and self._sent > self._declared:
                self.break_off()
                return None
            self._write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._chunks else chunk)
        return None if connection.gate.is_open else connection.gate.passed()

    def handle_exception(self, exception: Exception) -> None:
        """The application failed. A started answer must not look whole."""
        if self.is_over:
            return
        if not self.has_started:
            self._connection.fail()
        else:
            self.break_off()

    def break_off(self) -> None:
        """End the connection in the midst of the answer."""
        self._write(b"")
        self.is_over = True
        if self._chunks or self._declared is not None:
            self._connection.close_unfinished()
        else:
            self._connection.abort()  # for HTTP/1.0 a clean end would be the answer's end

    def _start(self, status: int, headers: Headers) -> None:
        if self.has_started:
            raise ValueError("the answer has begun already")
        lines = [_STATUS_LINES[status]]
        for name, value in headers:
            lowered = name.lower()
            if lowered == b"content-length":
                self._declared = int(value)
            elif lowered in _OURS:
                continue
            lines.append(name + b": " + value)
        self._has_no_body = self._is_head or status in NO_BODY
        if self._declared is None and not self._has_no_body and self._is_http_1_1:
            self._chunks = True
            lines.append(b"transfer-encoding: chunked")
        if not self._connection.will_stay():
            lines.append(b"connection: close")
        lines += (b"", b"")
        head = b"\r\n".join(lines)
        if not head.count(b"\n") == head.count(b"\r") == len(lines) - 1 or b"\0" in head:
            raise ValueError("a header of the answer has a line in it")
        self.has_started = True
        self._head = head
        self._connection.loop.call_soon(self._say_head)

    def _say_head(self) -> None:
        if self._head and not self.is_over:
            self._write(b"")

    def _write(self, data: bytes) -> None:
        if self._head:  # one call of the system for both
            data, self._head = self._head + data, b""
        if data:
            self._connection.transport.write(data)

    def _end(self, body: bytes) -> None:
        if not self.has_started:
            raise ValueError("the answer has not begun")
        if self._has_no_body:
            body = b""
        elif self._chunks:
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        elif self._declared is not None and self._sent + len(body) != self._declared:
            self.break_off()
            return
        self._write(body)
        self.is_over = True
        self.body.put_nowait({"type": "http.disconnect"})
        self._connection.answered()
