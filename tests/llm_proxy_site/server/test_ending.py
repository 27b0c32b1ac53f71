"""A server whose end fails: it ends all the same, and says so."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pytest

from llm_proxy_site.server.choice import SERVERS

PROGRAM = """
import asyncio
import sys
from llm_proxy_site.server import service
from llm_proxy_site.addresses import Address
from llm_proxy_site.server.choice import server_on
from llm_proxy_site.server.orders import Grace

service.CANCEL_SECONDS = 0.1

async def deaf(scope, receive, send):
    print("deaf", flush=True)
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

def drain():
    {drain}

async def stop():
    print("closing the data plane", flush=True)
    {stop}

duties = service.Duties(
    grace=Grace(stop={grace}),
    on_ready=lambda host, port: print(port, flush=True),
    on_drain=drain,
    on_stop=stop,
)
server = server_on(Address("127.0.0.1", 0), "{server}", deaf, duties)
server.run()
sys.exit(server.has_failed)
"""


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize(
    ("drain", "stop", "code"), [("pass", "pass", 0), ("1 / 0", "pass", 1), ("pass", "1 / 0", 1)]
)
def test_whatever_fails_the_server_ends_and_says_so(name: str, drain: str, stop: str, code: int) -> None:
    with (
        _serving(name, drain=drain, stop=stop, grace=30) as (server, said, port),
        socket.create_connection(("127.0.0.1", port), timeout=30) as connection,
    ):
        connection.sendall(b"no request\r\n\r\n")
        assert connection.recv(1024).startswith(b"HTTP/1.1 400 ")
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == code
        assert "closing the data plane" in said.read().splitlines()


@pytest.mark.parametrize("name", SERVERS)
def test_a_request_that_cannot_be_cancelled_does_not_hold_up_the_end(name: str) -> None:
    with (
        _serving(name, drain="pass", stop="pass", grace=0.1) as (server, said, port),
        socket.create_connection(("127.0.0.1", port), timeout=30) as connection,
    ):
        connection.sendall(b"GET / HTTP/1.1\r\nHost: proxy.example\r\n\r\n")
        assert said.readline() == "deaf\n"
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
        assert "closing the data plane" in said.read().splitlines()


@contextmanager
def _serving(
    name: str, *, drain: str, stop: str, grace: float
) -> Iterator[tuple[subprocess.Popen[str], IO[str], int]]:
    """The process, what it says, and its port."""
    server = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(server=name, drain=drain, stop=stop, grace=grace)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    try:
        yield server, server.stdout, int(server.stdout.readline())
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
