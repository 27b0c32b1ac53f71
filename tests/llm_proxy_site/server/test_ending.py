"""A server whose end fails: it ends all the same, and says so."""

import signal
import socket
import subprocess
import sys

import pytest

PROGRAM = """
import sys
from llm_proxy_site.server.server import ProxyServer

def drain():
    {drain}

async def stop():
    print("closing the data plane", flush=True)
    {stop}

server = ProxyServer(
    None,
    endpoints=["tcp:port=0:interface=127.0.0.1"],
    on_ready=lambda host, port: print(port, flush=True),
    on_drain=drain,
    on_stop=stop,
)
server.run()
sys.exit(server.has_failed)
"""


@pytest.mark.parametrize(
    ("drain", "stop", "code"), [("pass", "pass", 0), ("1 / 0", "pass", 1), ("pass", "1 / 0", 1)]
)
def test_whatever_fails_the_server_ends_and_says_so(drain: str, stop: str, code: int) -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(drain=drain, stop=stop)], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    try:
        port = int(server.stdout.readline())
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(b"no request\r\n\r\n")
            assert connection.recv(1024).startswith(b"HTTP/1.1 400 ")
            server.send_signal(signal.SIGTERM)
            assert server.wait(30) == code
        assert "closing the data plane" in server.stdout.read().splitlines()
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
