"""The answers to what was never a request to the application, and to one whose application has failed."""

from collections.abc import Callable
from http import HTTPStatus

from proxy.errors import BadRequest, InternalError, ProxyError, RequestTimeout, RequestTooLarge

LINGER_SECONDS = 5.0
"""How long we go on reading a body that nobody wants any more, for the client may still be writing it; and
how long a client has to take what was written of an answer that was broken off.
"""
NOT_HTTP = "The request is not HTTP/1.1."
LINE_ENDS = "Lines of a request end with CR and LF."
PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}
NO_BODY = frozenset({*range(100, 200), 204, 304})
"""Statuses of answers that have none."""
_ERRORS: dict[int, Callable[[str], ProxyError]] = {408: RequestTimeout, 431: RequestTooLarge}


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
