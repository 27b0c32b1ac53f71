"""Where one request ends and the next begins, with no room for two opinions (RFC 9112).

Heads are read by our own reader: Twisted's forgives some things that other parsers read otherwise, such as
folded lines, lone line feeds, transfer codings that are none. Behind another proxy such a request may be two
to the one and one to the other. They are refused here, with an answer that says so and a connection that is
closed.
"""

from collections.abc import Callable
from typing import Any

from twisted.web import http

from llm_proxy_site.server.refusals import LINE_ENDS, LINGER_SECONDS, NOT_HTTP, refusal
from llm_proxy_site.server.request_head import HeadReader, HeadRefusedError, RequestHead, is_header_line

_DeclaredBody, _ChunkedBody = http._IdentityTransferDecoder, http._ChunkedTransferDecoder


class StrictChannel(http.HTTPChannel):
    """One connection, parsed strictly. What is refused here was never a request to the application."""

    is_refused = False
    """Whether the client was told that what it sends is no request."""
    _lingering: Any = None
    _buffer = b""
    _busyReceiving = False

    def __init__(self) -> None:
        super().__init__()
        self.heads = HeadReader()

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

    def persists(self, head: RequestHead) -> bool:
        """Whether the connection may serve another request after this one."""
        return head.is_http_1_1

    def dataReceived(self, data: bytes) -> None:
        """As Twisted's, but for the heads, of which that reads line by line."""
        if self.is_refused:
            return
        self._buffer += data
        if self._busyReceiving:
            return
        self._busyReceiving = True
        try:
            while self._buffer and not self.is_refused:
                data, self._buffer = self._buffer, b""
                self._feed(data)
        finally:
            self._busyReceiving = False

    def _feed(self, data: bytes) -> None:
        if self.line_mode:
            self._feed_head(data)
            return
        self.rawDataReceived(data)
        if b"\n" in self._unfinished_line():
            self.refuse(400, LINE_ENDS)

    def _feed_head(self, data: bytes) -> None:
        try:
            head, rest = self.heads.feed(data)
        except HeadRefusedError as refused:
            self.refuse(refused.status, refused.message)
            return
        self._buffer = rest + self._buffer
        if head is not None:
            self.head_received(head)

    def head_received(self, head: RequestHead) -> None:
        """What Twisted does with the last of the lines."""
        request = self.requestFactory(self)
        request.head = head
        self.requests.append(request)
        self._command, self._path, self._version = head.method, head.target, head.version
        self.length = head.length
        decoders = request.handleContentChunk, self._finishRequestBody
        if head.length is None:
            self._transferDecoder = _ChunkedBody(*decoders)
        elif head.length:
            self._transferDecoder = _DeclaredBody(head.length, *decoders)
        self.persistent = self.persists(head)
        request.gotLength(head.length)
        if head.length == 0:
            self.allContentReceived()
        else:
            self.setRawMode()

    def allContentReceived(self) -> None:
        decoder = self._transferDecoder
        if isinstance(decoder, _ChunkedBody) and not all(map(is_header_line, decoder._trailerHeaders)):
            self.refuse(400, NOT_HTTP)
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
        """What has come of a line between the chunks whose CR and LF have not."""
        decoder = self._transferDecoder
        if isinstance(decoder, _ChunkedBody) and decoder.state != "BODY":
            return decoder._buffer  # type: ignore[no-any-return]
        return b""
