"""HTTP as bytes on a socket, for what no HTTP library would send."""

import re
import socket
from urllib.parse import urlsplit

from tests.live import LiveProxy


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
