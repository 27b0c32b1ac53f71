"""Whatever comes on a connection, and however it breaks off: the server goes on and keeps nothing of it."""

import hashlib
import json
import socket
import struct
from collections.abc import Iterator

import httpx
import psutil
import pytest

from tests.factories import issue_token
from tests.live import LiveProxy, eventually, serving
from tests.metrics import TOKEN, scrape, total
from tests.wire import connected, head

pytestmark = pytest.mark.xdist_group("garbage")  # one process of tests, one server

CHUNKED_POST = head("POST /v1/files HTTP/1.1", "Authorization: Bearer {token}", "Transfer-Encoding: chunked")
CHAT = b'{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"Hi"}]}'
STREAM = (
    head(
        "POST /v1/chat/completions HTTP/1.1",
        "Authorization: Bearer {token}",
        "Content-Type: application/json",
        "X-Fake-Chunk-Delay-Ms: 20",
        "X-Fake-Chunks: 10000",
        f"Content-Length: {len(CHAT)}",
    )
    + CHAT
)
RANDOM = hashlib.shake_256(b"garbage").digest(100_000)
TLS_HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(range(189))
SOCKET = head(
    "GET /v1/realtime?model=gpt-realtime HTTP/1.1",
    "Authorization: Bearer {token}",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)
GARBAGE = {
    "random": RANDOM,
    "zeros": bytes(100_000),
    "line-ends": b"\r\n" * 50_000,
    "tls": TLS_HELLO,
    "http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(27),
    "headers": b"GET /v1/models HTTP/1.1\r\n" + b"X-A: b\r\n" * 10_000 + b"\r\n",
    "header-line": b"GET /v1/models HTTP/1.1\r\nX-A: " + b"a" * 1_000_000,
    "request-line": b"GET /" + b"a" * 1_000_000,
    "chunk-extension": CHUNKED_POST + b"5;" + b"a" * 1_000_000,
    "chunk-size": CHUNKED_POST + b"0" * 1_000_000,
    "negative-chunk": CHUNKED_POST + b"-5\r\nhello\r\n0\r\n\r\n",
    "huge-chunk": CHUNKED_POST + b"f" * 16 + b"\r\nhello",
    "trailers": CHUNKED_POST + b"0\r\n" + b"X-A: b\r\n" * 100_000,
    "body-never": head("POST /v1/files HTTP/1.1", "Authorization: Bearer {token}", "Content-Length: 1000"),
    "pipelined": head("GET /v1/models HTTP/1.1", "Authorization: Bearer {token}") * 50,
    "stream": STREAM,
    "socket": SOCKET,
    "socket-garbage": SOCKET + RANDOM[:10_000],
    "head-begun": b"GET /v1/models HT",
    "nothing": b"",
}
SOON = {
    "CLIENT_HEADER_TIMEOUT_SECONDS": "2",
    "CLIENT_IDLE_TIMEOUT_SECONDS": "2",
    "CLIENT_BODY_TIMEOUT_SECONDS": "2",
    "CLIENT_WRITE_TIMEOUT_SECONDS": "2",
}


@pytest.fixture(scope="module")
def _hurried(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveProxy]:
    with serving(tmp_path_factory.mktemp("hurried"), **SOON) as live:
        yield live


@pytest.fixture
def hurried(_hurried: LiveProxy, transactional_db: None) -> LiveProxy:
    """A server that soon gives up clients who do not go on."""
    return _hurried


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_answered_or_dropped_and_leaves_nothing(hurried: LiveProxy, name: str) -> None:
    with _leaving_nothing(hurried) as sent_with, connected(hurried.url, timeout=15) as connection:
        _send(connection, sent_with(GARBAGE[name]))
        if name in ("stream", "socket", "socket-garbage"):
            connection.recv(1)
        else:
            _read_to_the_end(connection)


@pytest.mark.parametrize("name", GARBAGE)
def test_a_client_that_resets_the_connection_leaves_nothing(hurried: LiveProxy, name: str) -> None:
    with _leaving_nothing(hurried) as sent_with:
        data = sent_with(GARBAGE[name])
        for part in (1, 2, 3):
            with connected(hurried.url, timeout=15) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                _send(connection, data[: len(data) * part // 3])


@pytest.mark.parametrize("name", GARBAGE)
def test_a_client_that_closes_its_side_leaves_nothing(hurried: LiveProxy, name: str) -> None:
    with _leaving_nothing(hurried) as sent_with, connected(hurried.url, timeout=15) as connection:
        _send(connection, sent_with(GARBAGE[name]))
        try:
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            return
        _read_to_the_end(connection)


@pytest.mark.parametrize("path", ["audio/speech", "completions", "embeddings", "responses", "threads/runs"])
def test_a_body_that_is_not_utf_8_is_no_fault_of_ours(hurried: LiveProxy, path: str) -> None:
    _, plain = issue_token(total_budget_microusd=10**9)
    for name in (b"tools", b"prompt", b"input", b"model"):
        for value in (b'[{"type":"\xff"}]', b'["\xff"]', b'"\xff"', b'{"\xff":1}'):
            answer = httpx.post(
                f"{hurried.base_url}/{path}",
                headers={"authorization": f"Bearer {plain}", "content-type": "application/json"},
                content=b'{"model":"gpt-4o","voice":"alloy","%b":%b}' % (name, value),
            )
            assert answer.status_code in (200, 400), answer.text


@pytest.mark.parametrize("private_live", [SOON | {"METRICS_TOKEN": TOKEN}], indirect=True)
def test_no_request_runs_on_after_garbage(private_live: LiveProxy) -> None:
    with _leaving_nothing(private_live) as sent_with:
        for data in GARBAGE.values():
            with connected(private_live.url) as connection:
                _send(connection, sent_with(data))
    eventually(lambda: total(scrape(private_live), "llm_proxy_active_requests") == 0)
    private_live.process.terminate()
    private_live.process.wait(30)

    (stopping,) = [line for line in private_live.log().splitlines() if '"event":"stopping"' in line]
    assert json.loads(stopping)["requests"] == 0


class _leaving_nothing:  # noqa: N801 (used like a function)
    """Afterwards there are no more connections and open files than before, and no traceback in the log."""

    def __init__(self, live: LiveProxy) -> None:
        self._live = live
        self._process = psutil.Process(live.process.pid)

    def __enter__(self) -> "_leaving_nothing":
        _, self._plain = issue_token()
        self._ask()
        self._before = eventually(lambda: not self._clients() and self._process.num_fds())
        return self

    def __call__(self, data: bytes) -> bytes:
        return data.replace(b"{token}", self._plain.encode())

    def __exit__(self, *problem: object) -> None:
        if problem[0] is not None:
            return
        self._ask()
        eventually(lambda: not self._clients(), within_seconds=20)
        # Connections to upstream are kept, and threads have theirs to the database.
        assert self._process.num_fds() <= self._before + 6
        assert "Traceback" not in self._live.log()
        assert "never retrieved" not in self._live.log()

    def _ask(self) -> None:
        with httpx.Client(headers={"authorization": f"Bearer {self._plain}"}) as client:
            assert client.get(f"{self._live.base_url}/models").status_code == 200

    def _clients(self) -> list[object]:
        port = int(self._live.url.rpartition(":")[2])
        found = self._process.net_connections("tcp")
        return [one for one in found if one.laddr.port == port and one.status != "LISTEN"]


def _send(connection: socket.socket, data: bytes) -> None:
    try:
        connection.sendall(data)
    except OSError:
        return  # it has been closed


def _read_to_the_end(connection: socket.socket) -> None:
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        return
