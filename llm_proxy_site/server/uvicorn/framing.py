"""Where one request ends and the next begins, with no room for two opinions (RFC 9112).

Heads are read by our own reader alone. llhttp, below uvicorn, decodes chunked bodies and sees nothing else:
it has opinions of its own on heads, such as that a request with an `Upgrade` has no body. What comes
after a request waits until that is answered. What is refused gets an answer that says so, and a connection
that is closed.
"""

from abc import abstractmethod
from typing import Any

from httptools import HttpParserError, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from llm_proxy_site.server.refusals import NOT_HTTP
from llm_proxy_site.server.request_head import MAX_HEAD_BYTES, HeadReader, HeadRefusedError, RequestHead

_CHUNKED_HEAD = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
"""What llhttp is told of any request with a chunked body."""
_END = b"\r\n\r\n"
"""Of every chunked body."""


class StrictProtocol(HttpToolsProtocol):
    """One connection, parsed strictly. What is refused here was never a request to the application."""

    is_refused = False
    _expects_body = False
    """Whether llhttp is about to be told of one."""
    _in_body = False
    _left: int | None = None
    """Bytes of the body that are to come; None: it is chunked."""
    _tail = b""
    """The last bytes of a chunked body that have come: its end may be cut in two."""
    _trailer_bytes = 0

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.heads = HeadReader()

    @property
    @abstractmethod
    def is_busy(self) -> bool:
        """Whether a request has not been answered yet."""

    @abstractmethod
    def request_came(self, head: RequestHead) -> None:
        """A head has come; a body follows, if it says so."""

    @abstractmethod
    def body_ended(self) -> None: ...

    @abstractmethod
    def came_ahead(self, data: bytes) -> None:
        """What follows a request that has not been answered."""

    @abstractmethod
    def refuse(self, status: int, message: str) -> None: ...

    def feed(self, data: bytes) -> None:
        while data and not self.is_refused:
            if self._in_body:
                data = self._feed_body(data)
            elif self.is_busy:
                self.came_ahead(data)
                return
            else:
                data = self._feed_head(data)

    def _feed_head(self, data: bytes) -> bytes:
        try:
            head, rest = self.heads.feed(data)
        except HeadRefusedError as refused:
            self.refuse(refused.status, refused.message)
            return b""
        if head is not None:
            self._left = head.length
            self._in_body = head.length != 0
            if head.length is None:
                self._begin_chunked()
            self.request_came(head)
        return rest

    def _begin_chunked(self) -> None:
        self._tail, self._trailer_bytes, self._expects_body = b"", 0, True
        # A new one: the last trailer may have said that the connection closes, or how long its body was.
        self.parser = HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_chunked_length=True)
        self._parse(_CHUNKED_HEAD)

    def _feed_body(self, data: bytes) -> bytes:
        """What is left: it follows the body's end, or may do so."""
        if self._left is None:
            end = _possible_end(self._tail, data)
            self._tail = (self._tail + data[max(0, end - 3) : end])[-3:]
        else:
            end = min(self._left, len(data))
            self._left -= end
        part, rest = (data, b"") if end == len(data) else (data[:end], data[end:])
        if self._left is None:
            self._parse(part)
        else:
            self.on_body(part)
            if self._left == 0:
                self.on_message_complete()
        return rest

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except HttpParserError:
            self.refuse(400, NOT_HTTP)

    # What llhttp tells of a chunked body. Not uvicorn's `scope`: ours is made of the head that we have read.

    def on_url(self, url: bytes) -> None:
        """Of the head that llhttp is told."""

    def on_message_begin(self) -> None:
        if not self._expects_body:
            raise ValueError("a request where none can begin")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._expects_body:
            return  # that of the coding
        self._trailer_bytes += len(name) + len(value)
        if self._trailer_bytes > MAX_HEAD_BYTES:
            raise ValueError("a trailer that is too large")

    def on_headers_complete(self) -> None:
        self._expects_body = False

    @abstractmethod
    def on_body(self, body: bytes) -> None: ...

    def on_message_complete(self) -> None:
        self._in_body = False
        self.body_ended()


def _possible_end(tail: bytes, data: bytes) -> int:
    """How much of the data a chunked body can have: it ends there or later. `tail` came before."""
    across = (tail + data[:3]).find(_END)
    if across >= 0:
        return across + len(_END) - len(tail)
    end = data.find(_END)
    return len(data) if end < 0 else end + len(_END)
