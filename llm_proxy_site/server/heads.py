"""What the head of a request may be (RFC 9112), and the answer to one that may not: for all servers alike."""

from collections.abc import Callable, Sequence
from http import HTTPStatus

from proxy.errors import BadRequest, InternalError, ProxyError, RequestTimeout, RequestTooLarge

MAX_HEAD_BYTES = 64 * 1024
"""Of a request line and all header lines, without their ends; OpenAI's own bound on headers."""
MAX_HEADERS = 200
LINGER_SECONDS = 5.0
"""How long we go on reading a body that nobody wants any more, for the client may still be writing it; and
how long a client has to take what was written of an answer that was broken off.
"""
NOT_HTTP = "The request is not HTTP/1.1."
FOLDED = "Header lines must not be folded."
LINE_ENDS = "Lines of a request end with CR and LF."
TOO_MANY_HEADERS = f"The request has more than {MAX_HEADERS} headers."
TOO_LARGE = f"The request's headers are larger than {MAX_HEAD_BYTES // 1024} KiB."
BAD_TARGET = "The request's target must be a path and a query."
PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}
NO_BODY = frozenset({*range(100, 200), 204, 304})
"""Statuses of answers that have none."""
UNHEARD = frozenset({b"daphne-root-path"})
"""Headers that Daphne would believe any client; nobody is told of them."""
_ERRORS: dict[int, Callable[[str], ProxyError]] = {408: RequestTimeout, 431: RequestTooLarge}


def problem_of(
    version: bytes, *, hosts: Sequence[bytes], codings: Sequence[bytes], expectations: Sequence[bytes]
) -> str:
    """Why a request with these values of Host, Transfer-Encoding and Expect is refused; empty: it is not."""
    if version == b"HTTP/1.1" and len(hosts) != 1:
        return "An HTTP/1.1 request has exactly one Host."
    if codings and (version != b"HTTP/1.1" or [coding.lower() for coding in codings] != [b"chunked"]):
        return "The only transfer coding is chunked, once, in HTTP/1.1."
    if any(value.lower() != b"100-continue" for value in expectations):
        return "The only expectation is 100-continue."
    return ""


def refusal(status: int, message: str) -> bytes:
    """The answer to what was never a request to the application."""
    return _answer(status, _ERRORS.get(status, BadRequest)(message))


def failure() -> bytes:
    """The answer for an application that has failed before it answered."""
    return _answer(500, InternalError())


def _answer(status: int, error: ProxyError) -> bytes:
    body = error.body()
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
