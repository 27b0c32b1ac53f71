"""Clients that are slow, on purpose or not: each has its time, and none takes that of others."""

import json
import socket
import time
from contextlib import ExitStack

import httpx
import psutil
import pytest

from tests.factories import issue_token
from tests.live import LiveProxy, eventually
from tests.wire import connected, head
from tokens.format import generate
from usage.models import UsageRecord

SOON = {
    "CLIENT_HEADER_TIMEOUT_SECONDS": "1",
    "CLIENT_IDLE_TIMEOUT_SECONDS": "2",
    "CLIENT_BODY_TIMEOUT_SECONDS": "1",
    "CLIENT_WRITE_TIMEOUT_SECONDS": "2",
}
soon = pytest.mark.parametrize("private_live", [SOON], indirect=True)
DRIPPING = 200
CHAT = b'{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"Hi"}]}'


@soon
def test_a_head_that_trickles_is_answered_408(private_live: LiveProxy) -> None:
    began = time.monotonic()
    with connected(private_live.url) as connection:
        received = _drip(connection, b"GET /live HTTP/1.1\r\nHost: x\r\n" + b"X-A: b\r\n" * 1000)

    assert received.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert json.loads(received.partition(b"\r\n\r\n")[2])["error"]["code"] == "request_timeout"
    assert time.monotonic() - began < 8


@soon
def test_a_connection_without_a_request_is_closed_without_a_word(private_live: LiveProxy) -> None:
    with connected(private_live.url) as connection:
        assert connection.recv(1) == b""


@soon
def test_an_idle_connection_is_kept_longer_than_a_head_may_take(private_live: LiveProxy) -> None:
    with connected(private_live.url) as connection:
        connection.sendall(head("GET /v1/models HTTP/1.1"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 401")
        began = time.monotonic()
        assert connection.recv(1) == b""

    assert time.monotonic() - began > 1.5


@soon
def test_a_body_that_does_not_come_is_answered_408(private_live: LiveProxy) -> None:
    token, plain = issue_token()
    with connected(private_live.url) as connection:
        connection.sendall(
            head(
                "POST /v1/chat/completions HTTP/1.1",
                f"Authorization: Bearer {plain}",
                "Content-Type: application/json",
                "Content-Length: 100",
            )
            + b"{"
        )
        received = connection.recv(65536)
        assert connection.recv(1) == b""

    assert received.startswith(b"HTTP/1.1 408 ")
    record = eventually(lambda: UsageRecord.objects.filter(token=token).first())
    assert (record.outcome, record.status) == ("client_closed", None)


@soon
@pytest.mark.parametrize("size", [100, 262_344])
def test_a_body_that_was_refused_unread_does_not_stop_the_next_ones_clock(
    private_live: LiveProxy, size: int
) -> None:
    _, plain = issue_token()
    lines = ["POST /v1/chat/completions HTTP/1.1", "Content-Type: application/json"]
    with connected(private_live.url) as connection:
        for _ in range(20):  # queries for unknown tokens: the next one waits for its answer
            connection.sendall(head("GET /v1/models HTTP/1.1", f"Authorization: Bearer {generate()[1]}"))
            connection.recv(65536)
        unknown = head(*lines, f"Authorization: Bearer {generate()[1]}", f"Content-Length: {size}")
        connection.sendall(unknown + b" " * size)
        refused = connection.recv(65536)
        connection.sendall(head(*lines, f"Authorization: Bearer {plain}", "Content-Length: 1000") + b"{")
        late = connection.recv(65536)

    assert refused.startswith(b"HTTP/1.1 401 ")
    assert b"connection: close" not in refused.lower()
    assert late.startswith(b"HTTP/1.1 408 ")


@soon
def test_a_body_may_stand_still_while_upstream_does_not_read_it(private_live: LiveProxy) -> None:
    """Upstream answers late, and does not read before."""
    _, plain = issue_token()
    answer = httpx.post(
        f"{private_live.base_url}/files",
        headers={"authorization": f"Bearer {plain}", "x-fake-delay-ms": "3000"},
        files={"file": ("big.jsonl", b"x" * 8_000_000)},
        data={"purpose": "batch"},
        timeout=30,
    )

    assert answer.status_code == 200


@soon
def test_a_client_that_does_not_read_its_stream_is_gone_after_a_while(private_live: LiveProxy) -> None:
    token, plain = issue_token()
    before = private_live.rss_bytes()
    with connected(private_live.url) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        _ask_for_stream(connection, plain, chunks=200_000)
        record = eventually(lambda: UsageRecord.objects.filter(token=token).first(), within_seconds=20)

    assert record.outcome == "client_closed"
    assert private_live.rss_bytes() - before < 20_000_000
    assert eventually(lambda: not _connections(private_live))


@soon
def test_a_client_that_reads_slowly_keeps_its_stream(private_live: LiveProxy) -> None:
    token, plain = issue_token()
    with connected(private_live.url, timeout=30) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        _ask_for_stream(connection, plain, chunks=10_000)
        ended = time.monotonic() + 6
        received = b""
        while time.monotonic() < ended:
            received += connection.recv(40_000)
            time.sleep(0.2)
        while not received.endswith(b"0\r\n\r\n"):
            received += connection.recv(65536)

    assert b"data: [DONE]" in received
    assert eventually(lambda: UsageRecord.objects.filter(token=token, outcome="completed").exists())


@pytest.mark.parametrize("private_live", [{**SOON, "CLIENT_HEADER_TIMEOUT_SECONDS": "3"}], indirect=True)
def test_many_heads_that_trickle_do_not_stop_others_and_go(private_live: LiveProxy) -> None:
    _, plain = issue_token()
    slow = [connected(private_live.url) for _ in range(DRIPPING)]
    for connection in slow:
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-A: ")
    with httpx.Client(headers={"authorization": f"Bearer {plain}"}) as client:
        for _ in range(20):
            for connection in slow[:50]:
                _send(connection, b"a")
            assert client.get(f"{private_live.base_url}/models").status_code == 200
    eventually(lambda: len(_connections(private_live)) == 0, within_seconds=30)

    assert all(connection.recv(65536).startswith(b"HTTP/1.1 408") for connection in slow)
    for connection in slow:
        connection.close()


@pytest.mark.parametrize("private_live", [{"MAX_CONNECTIONS_PER_ADDRESS": "20"}], indirect=True)
def test_an_address_has_no_more_connections_than_it_may(private_live: LiveProxy) -> None:
    held = [connected(private_live.url) for _ in range(20)]
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        httpx.get(f"{private_live.url}/live")
    other = httpx.HTTPTransport(local_address="127.0.0.2")
    with httpx.Client(transport=other) as client:
        assert client.get(f"{private_live.url}/live").status_code == 200
    for connection in held:
        connection.close()

    assert eventually(lambda: not _connections(private_live) or None) is not None
    assert httpx.get(f"{private_live.url}/live").status_code == 200
    assert "an address has all the connections that it may have" in private_live.log()


@pytest.mark.parametrize(
    "private_live", [{"MAX_CONNECTIONS_PER_ADDRESS": "20", "TRUSTED_PROXY_COUNT": "1"}], indirect=True
)
def test_behind_a_trusted_front_its_address_may_have_all(private_live: LiveProxy) -> None:
    held = [connected(private_live.url) for _ in range(40)]

    assert httpx.get(f"{private_live.url}/live").status_code == 200
    for connection in held:
        connection.close()


@pytest.mark.parametrize("private_live", [{"MAX_CONNECTIONS": "20"}], indirect=True)
def test_a_full_server_gives_up_idle_connections_for_new_ones(private_live: LiveProxy) -> None:
    idle = [connected(private_live.url) for _ in range(17)]
    for connection in idle:
        connection.sendall(head("GET /v1/models HTTP/1.1"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 401")
    busy = [connected(private_live.url) for _ in range(3)]
    for connection in busy:
        connection.sendall(b"GET ")

    assert httpx.get(f"{private_live.url}/live").status_code == 200
    for connection in [*idle, *busy]:
        connection.close()


@pytest.mark.parametrize("private_live", [{"MAX_CONNECTIONS": "10"}], indirect=True)
def test_a_full_server_gives_up_what_becomes_idle_later(private_live: LiveProxy) -> None:
    """Their requests, and their answers, had begun before places were scarce."""
    _, plain = issue_token()
    with ExitStack() as stack:
        for _ in range(8):
            connection = stack.enter_context(connected(private_live.url))
            _ask_for_stream(connection, plain, chunks=8, delay_ms=300)
            assert b"connection: close" not in connection.recv(65536).lower()
        for _ in range(2):
            _ask_for_stream(stack.enter_context(connected(private_live.url)), plain, chunks=600, delay_ms=100)
        eventually(lambda: len(_connections(private_live)) == 10)

        assert httpx.get(f"{private_live.url}/live", timeout=20).status_code == 200


@pytest.mark.parametrize("private_live", [{"MAX_CONNECTIONS": "20"}], indirect=True)
def test_a_full_server_lets_others_wait_and_takes_them_then(private_live: LiveProxy) -> None:
    busy = [connected(private_live.url) for _ in range(20)]
    for connection in busy:
        connection.sendall(b"GET ")
    eventually(lambda: len(_connections(private_live)) == 20)
    with connected(private_live.url, timeout=20) as waiting:
        waiting.sendall(head("GET /live HTTP/1.1").replace(b"proxy.example", b"localhost"))
        assert len(_connections(private_live)) == 20
        for connection in busy:
            connection.close()

        assert waiting.recv(65536).startswith(b"HTTP/1.1 200")


def test_bodies_that_hardly_come_keep_no_others_out(live: LiveProxy) -> None:
    """Nobody knows how large they will be, and they have to be seen."""
    _, slow = issue_token(max_model_tokens_per_minute=100_000)
    _, plain = issue_token(max_model_tokens_per_minute=100_000)
    with ExitStack() as stack:
        for _ in range(10):
            _send_a_chunk(stack.enter_context(connected(live.url)), slow, b"{")
        for token in (plain, slow):
            with connected(live.url) as connection:
                _send_a_chunk(connection, token, CHAT, end=b"0\r\n\r\n")
                assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


def _send_a_chunk(connection: socket.socket, plain: str, chunk: bytes, *, end: bytes = b"") -> None:
    lines = ["Content-Type: application/json", "Transfer-Encoding: chunked"]
    chunks = b"%x\r\n%s\r\n" % (len(chunk), chunk) + end
    connection.sendall(
        head("POST /v1/chat/completions HTTP/1.1", f"Authorization: Bearer {plain}", *lines) + chunks
    )


def _drip(connection: socket.socket, data: bytes) -> bytes:
    """Byte by byte, until the other side says something."""
    connection.settimeout(0.02)
    for byte in data:
        _send(connection, bytes([byte]))
        try:
            return connection.recv(65536)
        except TimeoutError:
            continue
    raise AssertionError("never answered")


def _send(connection: socket.socket, data: bytes) -> None:
    try:
        connection.sendall(data)
    except OSError:
        return  # it has been closed


def _ask_for_stream(connection: socket.socket, plain: str, *, chunks: int, delay_ms: int = 0) -> None:
    connection.sendall(
        head(
            "POST /v1/chat/completions HTTP/1.1",
            f"Authorization: Bearer {plain}",
            "Content-Type: application/json",
            f"X-Fake-Chunks: {chunks}",
            f"X-Fake-Chunk-Delay-Ms: {delay_ms}",
            f"Content-Length: {len(CHAT)}",
        )
        + CHAT
    )


def _connections(live: LiveProxy) -> list[object]:
    """Those of clients."""
    port = int(live.url.rpartition(":")[2])
    return [
        connection
        for connection in psutil.Process(live.process.pid).net_connections("tcp")
        if connection.laddr.port == port and connection.status == "ESTABLISHED"
    ]
