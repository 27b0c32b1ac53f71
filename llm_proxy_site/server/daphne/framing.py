"""Where one request ends and the next begins, with no room for two opinions (RFC 9112).

Twisted's parser forgives some things that other parsers read otherwise: folded lines, lone line feeds,
transfer codings that are none. Behind another proxy such a request may be two to the one and one to the
other. They are refused here, with an answer that says so and a connection that is closed.
"""

from collections.abc import Callable
from typing import Any

from twisted.web import http

from llm_proxy_site.server.heads import (
    BAD_TARGET,
    FOLDED,
    LINE_ENDS,
    LINGER_SECONDS,
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    NOT_HTTP,
    TOO_LARGE,
    TOO_MANY_HEADERS,
    problem_of,
    refusal,
)

_ChunkedDecoder = http._ChunkedTransferDecoder


class StrictChannel(http.HTTPChannel):
    """One connection, parsed strictly. What is refused here was never a request to the application."""

    MAX_LENGTH = MAX_HEAD_BYTES
    totalHeadersSize = MAX_HEAD_BYTES
    maxHeaders = MAX_HEADERS
    is_refused = False
    """Whether the client was told that what it sends is no request."""
    _lingering: Any = None

    def refuse(self, status: int, message: str) -> None:
        """Say what is wrong, if no answer has begun, and close. What still comes is read and forgotten."""
        if self.is_refused:
            return
        self.is_refused = True
        self.persistent = False
        self.clearLineBuffer()
        self.setTimeout(None)
        self.linger(self.transport.abortConnection)
        if self.request_refused():
            self.transport.write(refusal(status, message))
            self.transport.loseWriteConnection()
        else:
            self.break_off()

    def request_refused(self) -> bool:
        """The request that is being read will not go on. Whether it can still be answered."""
        return True

    def break_off(self) -> None:
        """The answer that has begun will not be completed."""
        self.transport.loseConnection()

    def linger(self, then: Callable[[], None]) -> None:
        if self._lingering is not None and self._lingering.active():
            self._lingering.cancel()
        self._lingering = self.callLater(LINGER_SECONDS, then)

    def dataReceived(self, data: bytes) -> None:
        if self.is_refused:
            return
        super().dataReceived(data)
        if b"\n" in self._unfinished_line():
            self.refuse(400, LINE_ENDS)

    def lineReceived(self, line: bytes) -> None:
        if line.startswith((b" ", b"\t")):
            self.refuse(400, FOLDED)
        elif self._receivedHeaderSize + len(line) > MAX_HEAD_BYTES:
            self.lineLengthExceeded(line)
        else:
            super().lineReceived(line)

    def headerReceived(self, line: bytes) -> bool:
        if self._receivedHeaderCount == MAX_HEADERS:
            self.refuse(431, TOO_MANY_HEADERS)
            return False
        try:
            return bool(super().headerReceived(line))
        except ValueError:  # a Content-Length of more digits than Python reads
            self.refuse(400, "The request's Content-Length is not a number that bodies have.")
            return False

    def lineLengthExceeded(self, line: bytes) -> None:
        self.refuse(431, TOO_LARGE)

    def allHeadersReceived(self) -> None:
        message = _problem(self.requests[-1].requestHeaders, self._path, self._version)
        if message:
            self.refuse(400, message)
        else:
            super().allHeadersReceived()

    def allContentReceived(self) -> None:
        decoder = self._transferDecoder
        if isinstance(decoder, _ChunkedDecoder) and any(b"\n" in line for line in decoder._trailerHeaders):
            self.refuse(400, LINE_ENDS)
        if not self.is_refused:
            super().allContentReceived()

    def connectionLost(self, reason: Any) -> None:
        if self._lingering is not None and self._lingering.active():
            self._lingering.cancel()
        super().connectionLost(reason)

    def _respondToBadRequestAndDisconnect(self) -> None:
        """Twisted's name for what it does with a request that it cannot parse."""
        self.refuse(400, NOT_HTTP)

    def _unfinished_line(self) -> bytes | bytearray:
        """What has come of a line whose CR and LF have not; empty where no line is awaited."""
        if self.line_mode:
            return self._buffer  # type: ignore[no-any-return]
        decoder = self._transferDecoder
        if isinstance(decoder, _ChunkedDecoder) and decoder.state != "BODY":
            return decoder._buffer  # type: ignore[no-any-return]
        return b""


def _problem(headers: Any, target: bytes, version: bytes) -> str:
    """Why a request with this head is refused; empty if it is not."""
    if not target.startswith(b"/") or b"#" in target:
        return BAD_TARGET
    return problem_of(
        version,
        hosts=headers.getRawHeaders(b"host", ()),
        codings=headers.getRawHeaders(b"transfer-encoding", ()),
        expectations=headers.getRawHeaders(b"expect", ()),
    )
