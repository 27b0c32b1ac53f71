"""The head of a request as it comes, with no room for two opinions on it (RFC 9112): for all servers alike.

It must match a pattern of ours, and what its lines say is read here, once.
"""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from llm_proxy_site.server.refusals import LINE_ENDS, NOT_HTTP
from proxy.types import Headers, Scope

MAX_HEAD_BYTES = 64 * 1024
"""Of a request line and all header lines, without their ends; OpenAI's own bound on headers."""
MAX_HEADERS = 200
_UNHEARD = frozenset({b"daphne-root-path"})
"""Headers that Daphne would believe any client; nobody is told of them."""
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_VALUE = rb"[^\x00-\x08\x0a-\x1f\x7f]*"
_HEAD = re.compile(
    rb"(%b) (/[\x21\x22\x24-\x7e]*) (HTTP/1\.[01])\r\n(?:%b:%b\r\n)*\r\n" % (_TOKEN, _TOKEN, _VALUE)
)
_LINE = re.compile(rb"%b:%b" % (_TOKEN, _VALUE))
_LONE_END = re.compile(rb"(?<!\r)\n|\r(?!\n)")
_LENGTH = re.compile(rb"[0-9]{1,30}")
"""One that is too large is for the application to refuse; Python reads none of thousands of digits."""
_OF_FRAMING = frozenset({b"host", b"transfer-encoding", b"expect", b"content-length"})
_HTTP_1_1 = b"HTTP/1.1"
_END = b"\r\n\r\n"


class HeadRefusedError(Exception):
    """What has come is no head, or one that two readers could take for two."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


@dataclass(slots=True)
class RequestHead:
    method: bytes
    target: bytes
    version: bytes
    headers: Headers
    """Names in lower case, values without the blanks around them (RFC 9110 section 5.5)."""
    length: int | None
    """Of the body, in bytes; None: it is chunked."""
    expects_continue: bool

    @property
    def is_http_1_1(self) -> bool:
        return self.version == _HTTP_1_1

    def values(self, name: bytes) -> list[bytes]:
        return [value for found, value in self.headers if found == name]

    def scope(self, client: Any, server: Any) -> Scope:
        """As ASGI has it."""
        path, _, query = self.target.partition(b"?")
        text = path.decode("ascii")
        # Names with an underscore could be taken for those of others (CVE-2015-0219).
        headers = [header for header in self.headers if b"_" not in header[0] and header[0] not in _UNHEARD]
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": self.version[5:].decode("ascii"),
            "method": self.method.decode("ascii"),
            "scheme": "http",
            "path": unquote(text) if "%" in text else text,
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": headers,
            "client": client,
            "server": server,
        }


class HeadReader:
    """Of one connection."""

    def __init__(self) -> None:
        self._begun = b""
        """What has come of a head whose end has not."""
        self._has_skipped = False
        """Whether an empty line stood before it: some clients end a body with one."""

    @property
    def has_begun(self) -> bool:
        return bool(self._begun)

    def feed(self, data: bytes) -> tuple[RequestHead | None, bytes]:
        """The head, if its end has come, and what follows it. Raises HeadRefusedError."""
        before = len(self._begun)
        data = self._begun + data
        if not self._has_skipped and data.startswith(b"\r\n"):
            self._has_skipped = True
            data = data[2:]
        end = data.find(_END, max(0, before - len(_END)))
        if end < 0:
            self._begun = data
            _look_at_unfinished(data, since=max(0, before - 1))
            return None, b""
        self._begun, self._has_skipped = b"", False
        end += len(_END)
        head, rest = (data, b"") if end == len(data) else (data[:end], data[end:])
        return _read(head), rest


def is_header_line(line: bytes | bytearray) -> bool:
    """Without its end: of a head, or of a trailer."""
    return _LINE.fullmatch(line) is not None


def _look_at_unfinished(head: bytes, since: int) -> None:
    if _LONE_END.search(head, since, len(head) - head.endswith(b"\r")):
        raise HeadRefusedError(LINE_ENDS)
    if _is_too_large(head):
        raise _too_large()


def _read(head: bytes) -> RequestHead:
    match = _HEAD.fullmatch(head)
    if _is_too_large(head):
        raise _too_large()
    if head.count(b"\r\n") - 2 > MAX_HEADERS:
        raise HeadRefusedError(f"The request has more than {MAX_HEADERS} headers.", 431)
    if match is None:
        raise HeadRefusedError(_reason(head))
    method, target, version = match.groups()
    headers = _headers(head)
    length, expects_continue = _framing(version, headers)
    return RequestHead(method, target, version, headers, length, expects_continue)


def _headers(head: bytes) -> Headers:
    lines = [line.partition(b":") for line in head[: -len(_END)].split(b"\r\n")[1:]]
    return [(name.lower(), value.strip(b" \t")) for name, _, value in lines]


def _framing(version: bytes, headers: Headers) -> tuple[int | None, bool]:
    """The body's length, None if it is chunked, and whether the client waits to be told to send it."""
    found: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        if name in _OF_FRAMING:
            found.setdefault(name, []).append(value)
    codings, lengths = found.get(b"transfer-encoding", []), found.get(b"content-length", [])
    expectations = found.get(b"expect", [])
    is_http_1_1 = version == _HTTP_1_1
    if is_http_1_1 and len(found.get(b"host", [])) != 1:
        raise HeadRefusedError("An HTTP/1.1 request has exactly one Host.")
    if codings and (not is_http_1_1 or [coding.lower() for coding in codings] != [b"chunked"]):
        raise HeadRefusedError("The only transfer coding is chunked, once, in HTTP/1.1.")
    if any(value.lower() != b"100-continue" for value in expectations):
        raise HeadRefusedError("The only expectation is 100-continue.")
    if len(codings) + len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
        raise HeadRefusedError(NOT_HTTP)
    length = None if codings else int(lengths[0]) if lengths else 0
    return length, bool(expectations) and is_http_1_1


def _too_large() -> HeadRefusedError:
    return HeadRefusedError(f"The request's headers are larger than {MAX_HEAD_BYTES // 1024} KiB.", 431)


def _is_too_large(head: bytes) -> bool:
    size = len(head)
    return size > MAX_HEAD_BYTES and size - 2 * head.count(b"\r\n") > MAX_HEAD_BYTES


def _reason(head: bytes) -> str:
    """Why it is no head."""
    if _LONE_END.search(head):
        return LINE_ENDS
    if b"\n " in head or b"\n\t" in head:
        return "Header lines must not be folded."
    words = head.partition(b"\r\n")[0].split(b" ")
    is_target = len(words) != 3 or (words[1].startswith(b"/") and b"#" not in words[1])
    return NOT_HTTP if is_target else "The request's target must be a path and a query."
