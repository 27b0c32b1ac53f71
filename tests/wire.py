"""HTTP as bytes on a socket, for what no HTTP library would send."""

import re
import socket
from collections.abc import Iterable
from http.client import HTTPResponse
from operator import itemgetter
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.live import LiveProxy

# What docs/api.md says of answers: these are not passed, or are ours. The last is written by the server.
NOT_COMPARED = {
    "connection",
    "transfer-encoding",
    "set-cookie",
    "x-llm-proxy-request-id",
    "x-llm-proxy-token-expires-at",
    "date",
}


def connected(url: str, *, timeout: float = 10) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), timeout=timeout)


def talk(live: LiveProxy, *sent: bytes, silence_seconds: float = 3) -> bytes:
    """Everything that the server says to these bytes, until it closes or falls silent."""
    with connected(live.url, timeout=silence_seconds) as connection:
        for part in sent:
            connection.sendall(part)
        return _rest(connection)[0]


def exchange(url: str, *sent: bytes) -> bytes:
    """What the server says to these bytes. Fails where it does not close the connection by itself."""
    with connected(url) as connection:
        for part in sent:
            connection.sendall(part)
        received, is_closed = _rest(connection)
    assert is_closed, f"still open after {received[:200]!r}"
    return received


def head(line: str, *headers: str) -> bytes:
    """A request's head with a Host, ready to be sent."""
    return "\r\n".join([line, "Host: proxy.example", *headers, "", ""]).encode("latin-1")


class Answer(NamedTuple):
    status: int
    reason: str
    headers: list[tuple[str, str]]
    """End to end, names in lower case, ordered by name; those of one name stand as they came."""
    body: bytes


def answer_on(connection: socket.socket, method: str) -> Answer:
    """The answer to the one request that is under way."""
    response = HTTPResponse(connection, method=method)
    response.begin()
    return Answer(response.status, response.reason, end_to_end(response.getheaders()), response.read())


def end_to_end(headers: Iterable[Iterable[str]]) -> list[tuple[str, str]]:
    """What is compared of an answer's headers, or of a request's: the rest is documented."""
    lowered = [(name.lower(), value) for name, value in headers]
    return sorted((header for header in lowered if header[0] not in NOT_COMPARED), key=itemgetter(0))


def statuses(received: bytes) -> list[int]:
    """Of the answers, in the order of their coming. No body of the fake upstream's looks like one."""
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", received)]


def _rest(connection: socket.socket) -> tuple[bytes, bool]:
    received = b""
    try:
        while part := connection.recv(65536):
            received += part
    except TimeoutError:
        return received, False
    return received, True
