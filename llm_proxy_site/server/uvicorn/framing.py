"""Where one request ends and the next begins, with no room for two opinions (RFC 9112).

A head must match a pattern of ours, and what its lines say is read here, once. llhttp, below uvicorn, decodes
chunked bodies and sees nothing else: it has opinions of its own on heads, such as that a request with an
`Upgrade` has no body. What comes after a request waits until that is answered. What is refused gets an answer
that says so, and a connection that is closed.
"""

import re
from abc import abstractmethod

from httptools import HttpParserError, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from llm_proxy_site.server.heads import (
    BAD_TARGET,
    FOLDED,
    LINE_ENDS,
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    NOT_HTTP,
    TOO_LARGE,
    TOO_MANY_HEADERS,
    problem_of,
)

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_VALUE = rb"[^\x00-\x08\x0a-\x1f\x7f]*"
_HEAD = re.compile(
    rb"(%b) (/[\x21\x22\x24-\x7e]*) (HTTP/1\.[01])\r\n(?:%b:%b\r\n)*\r\n" % (_TOKEN, _TOKEN, _VALUE)
)
_LONE_END = re.compile(rb"(?<!\r)\n|\r(?!\n)")
_LENGTH = re.compile(rb"[0-9]{1,30}")
"""One that is too large is for the application to refuse; Python reads none of thousands of digits."""
_CHUNKED_HEAD = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
"""What llhttp is told of any request with a chunked body."""
_OF_FRAMING = frozenset({b"host", b"transfer-encoding", b"expect", b"content-length"})
_END = b"\r\n\r\n"
"""Of a head, and of every chunked body."""


class StrictProtocol(HttpToolsProtocol):
    """One connection, parsed strictly. What is refused here was never a request to the application."""

    is_refused = False
    _head = b""
    """What has come of a head whose end has not."""
    _has_skipped = False
    """Whether an empty line stood before it: some clients end a body with one."""
    _expects_body = False
    """Whether llhttp is about to be told of one."""
    _in_body = False
    _left: int | None = None
    """Bytes of the body that are to come; None: it is chunked."""
    _tail = b""
    """The last bytes of a chunked body that have come: its end may be cut in two."""
    _trailer_bytes = 0

    @property
    @abstractmethod
    def is_busy(self) -> bool:
        """Whether a request has not been answered yet."""

    @abstractmethod
    def request_came(self, method: bytes, target: bytes, version: bytes, *, is_whole: bool) -> None:
        """A head has come, of which `self.headers` are the lines; a body follows, unless it is whole."""

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
        before = len(self._head)
        data = self._head + data
        if not self._has_skipped and data.startswith(b"\r\n"):
            self._has_skipped = True
            data = data[2:]
        end = data.find(_END, max(0, before - len(_END)))
        if end < 0:
            self._head = data
            self._look_at_unfinished(data, since=max(0, before - 1))
            return b""
        self._head, self._has_skipped = b"", False
        end += len(_END)
        head, rest = (data, b"") if end == len(data) else (data[:end], data[end:])
        self._take_head(head)
        return rest

    def _look_at_unfinished(self, head: bytes, since: int) -> None:
        if _LONE_END.search(head, since, len(head) - head.endswith(b"\r")):
            self.refuse(400, LINE_ENDS)
        elif _is_too_large(head):
            self.refuse(431, TOO_LARGE)

    def _take_head(self, head: bytes) -> None:
        match = _HEAD.fullmatch(head)
        if _is_too_large(head):
            self.refuse(431, TOO_LARGE)
        elif head.count(b"\r\n") - 2 > MAX_HEADERS:
            self.refuse(431, TOO_MANY_HEADERS)
        elif match is None:
            self.refuse(400, _reason(head))
        else:
            self.headers = _headers(head)
            self._begin(*match.groups())

    def _begin(self, method: bytes, target: bytes, version: bytes) -> None:
        found: dict[bytes, list[bytes]] = {}
        for name, value in self.headers:
            if name in _OF_FRAMING:
                found.setdefault(name, []).append(value)
        codings, lengths = found.get(b"transfer-encoding", []), found.get(b"content-length", [])
        hosts, expectations = found.get(b"host", []), found.get(b"expect", [])
        problem = problem_of(version, hosts=hosts, codings=codings, expectations=expectations)
        if len(codings) + len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
            problem = problem or NOT_HTTP
        if problem:
            self.refuse(400, problem)
            return
        self.expect_100_continue = bool(expectations)
        self._left = None if codings else int(lengths[0]) if lengths else 0
        self._in_body = self._left != 0
        if codings:
            self._begin_chunked()
        self.request_came(method, target, version, is_whole=not self._in_body)

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

    # What llhttp tells of a chunked body. Not uvicorn's `scope`: ours is made of what the pattern has found.

    def on_url(self, url: bytes) -> None:
        """The pattern has found it."""

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


def _headers(head: bytes) -> list[tuple[bytes, bytes]]:
    """Of a head that is one: names in lower case, values without the blanks around them (RFC 9110 5.5)."""
    lines = [line.partition(b":") for line in head[: -len(_END)].split(b"\r\n")[1:]]
    return [(name.lower(), value.strip(b" \t")) for name, _, value in lines]


def _possible_end(tail: bytes, data: bytes) -> int:
    """How much of the data a chunked body can have: it ends there or later. `tail` came before."""
    across = (tail + data[:3]).find(_END)
    if across >= 0:
        return across + len(_END) - len(tail)
    end = data.find(_END)
    return len(data) if end < 0 else end + len(_END)


def _is_too_large(head: bytes) -> bool:
    size = len(head)
    return size > MAX_HEAD_BYTES and size - 2 * head.count(b"\r\n") > MAX_HEAD_BYTES


def _reason(head: bytes) -> str:
    """Why it is no head."""
    if _LONE_END.search(head):
        return LINE_ENDS
    if b"\n " in head or b"\n\t" in head:
        return FOLDED
    words = head.partition(b"\r\n")[0].split(b" ")
    is_target = len(words) != 3 or (words[1].startswith(b"/") and b"#" not in words[1])
    return NOT_HTTP if is_target else BAD_TARGET
