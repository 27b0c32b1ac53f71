"""Parts of a body that go past ASGI's messages: what comes out is what the messages would have made."""

import hashlib
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from llm_proxy_site.processes import running
from llm_proxy_site.server.choice import SERVERS

PROGRAM = """
import sys
from llm_proxy_site.addresses import Address
from llm_proxy_site.server.choice import server_on
from llm_proxy_site.server.service import Duties

PARTS = [bytes([number % 256]) * (number * 37 % 5000) for number in range(4000)]

async def application(scope, receive, send):
    write = scope["extensions"]["llm_proxy.write"]
    status = 204 if scope["path"] == "/nothing" else 200
    await send({"type": "http.response.start", "status": status, "headers": []})
    for number, part in enumerate(PARTS):
        if number % 10 == 0:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        elif (taken := write(part)) is not None:
            waits.append(number)
            await taken
    await send({"type": "http.response.body", "body": b"%d waits" % len(waits), "more_body": False})

waits = []
duties = Duties(on_ready=lambda host, port: print(port, flush=True))
server_on(Address("127.0.0.1", 0), sys.argv[1], application, duties).run()
"""
PARTS = [bytes([number % 256]) * (number * 37 % 5000) for number in range(4000)]


@pytest.fixture(scope="module", params=SERVERS)
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    with running("-c", PROGRAM, request.param, stderr=subprocess.STDOUT) as (_, line):
        yield int(line)


@contextmanager
def asking(port: int, request: bytes) -> Iterator[socket.socket]:
    """With a small window, so that the server soon has to wait."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(60)
        connection.connect(("127.0.0.1", port))
        connection.sendall(request)
        yield connection


def read_all(connection: socket.socket) -> tuple[bytes, bytes]:
    """Head and body of what comes until the server closes."""
    received = bytearray()
    while data := connection.recv(100_000):
        received += data
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    return head, body


def unchunked(body: bytes) -> tuple[list[bytes], bytes]:
    parts: list[bytes] = []
    rest = body
    while True:
        size, _, rest = rest.partition(b"\r\n")
        if not int(size, 16):
            return parts, rest
        parts.append(rest[: int(size, 16)])
        assert rest[int(size, 16) :].startswith(b"\r\n")
        rest = rest[int(size, 16) + 2 :]


def test_parts_arrive_one_by_one_and_in_order(port: int) -> None:
    with asking(port, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") as connection:
        _, body = read_all(connection)
    parts, rest = unchunked(body)
    assert parts[:-1] == [part for part in PARTS if part]
    waits = int(parts[-1].split()[0])
    assert waits, "the server never waited for its client"
    assert rest == b"\r\n"


def test_without_chunks_the_bytes_are_the_same(port: int) -> None:
    with asking(port, b"GET / HTTP/1.0\r\nHost: x\r\n\r\n") as connection:
        head, body = read_all(connection)
    assert b"chunked" not in head
    whole = b"".join(PARTS)
    assert hashlib.sha256(body[: len(whole)]).digest() == hashlib.sha256(whole).digest()


@pytest.mark.parametrize("request_line", [b"HEAD /", b"GET /nothing"])
def test_an_answer_that_has_no_body_gets_none(port: int, request_line: bytes) -> None:
    with asking(port, request_line + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") as connection:
        assert read_all(connection)[1] == b""


def test_a_client_that_leaves_in_the_midst_disturbs_nobody(port: int) -> None:
    with asking(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") as connection:
        connection.recv(1000)
    test_parts_arrive_one_by_one_and_in_order(port)
