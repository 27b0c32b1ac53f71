"""Memory stays flat, whatever passes: a body of 512 MiB up, one down, and a stream as long as hours."""

import hashlib
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import pytest

from llm_proxy_site.fake_upstream import pattern_sha256
from tests.factories import issue_token
from tests.live import LiveProxy, eventually
from tests.wire import connected, head
from usage.models import UsageRecord

MIB = 1024 * 1024
SIZE = 512 * MIB
MAX_GROWTH = 32 * MIB
EVENTS = 360_000
"""What a stream of half an hour has with 200 a second. It is some 70 MB: kept whole it would be seen."""
PAUSES = 4
LOOK_SECONDS = 0.01
CHUNK_FRAME = re.compile(rb"\r\n[0-9a-f]+\r\n")
HANG_UPS = 24
"""With bodies of 1 MiB; half of what these are together is allowed."""


@contextmanager
def flat(live: LiveProxy) -> Iterator[None]:
    """Within, the proxy never grows by MAX_GROWTH or more."""
    before = peak = live.rss_bytes()
    done = Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(LOOK_SECONDS):
            peak = max(peak, live.rss_bytes())

    watcher = Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
    peak = max(peak, live.rss_bytes())
    assert peak - before < MAX_GROWTH, f"grew by {(peak - before) / MIB:.0f} MiB"


@pytest.fixture
def warm(private_live: LiveProxy) -> LiveProxy:
    """A proxy that has served a request of each kind: what it loads and compiles then is no growth."""
    _, plain = issue_token()
    _upload(private_live, plain, MIB)
    _download(private_live, plain, MIB)
    _read_slowly(private_live, plain, 100)
    return private_live


def test_half_a_gigabyte_passes_up_and_down(warm: LiveProxy) -> None:
    token, plain = issue_token()
    with flat(warm):
        digest = _upload(warm, plain, SIZE)
        assert _download(warm, plain, SIZE) == pattern_sha256(SIZE)

    (uploaded,) = warm.upstream_requests(f"memory-{SIZE}")
    assert (uploaded["body_sha256"], uploaded["state"]) == (digest, "finished")
    sizes = eventually(
        lambda: (
            (rows := UsageRecord.objects.filter(token=token, outcome="completed"))
            and len(rows) == 2
            and {(row.request_bytes > SIZE, row.response_bytes) for row in rows}
        )
    )
    assert (False, SIZE) in sizes


def test_a_long_stream_to_a_slow_reader_passes(warm: LiveProxy) -> None:
    token, plain = issue_token()
    with flat(warm):
        received = _read_slowly(warm, plain, EVENTS)

    answer = CHUNK_FRAME.sub(b"", received)  # wherever one chunk ends and the next begins
    assert answer.count(b'"object":"chat.completion.chunk"') >= EVENTS
    assert received.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    record = eventually(lambda: UsageRecord.objects.filter(token=token).first())
    assert (record.outcome, record.output_tokens) == ("completed", EVENTS)


def test_requests_whose_clients_hang_up_leave_nothing_behind(live: LiveProxy) -> None:
    token, plain = issue_token()
    _hang_up(live, plain, count=3)
    before = live.rss_bytes()
    _hang_up(live, plain, count=HANG_UPS)

    eventually(lambda: UsageRecord.objects.filter(token=token).count() == HANG_UPS + 3)
    eventually(
        lambda: live.rss_bytes() - before < HANG_UPS * MIB / 2
    )  # the server forgets a request within 1 s


def _hang_up(live: LiveProxy, plain: str, *, count: int) -> None:
    body = b'{"model":"gpt-4o","messages":[{"role":"user","content":"%s"}]}' % (b"x" * (MIB - 100))
    for _ in range(count):
        with _asked(
            live,
            plain,
            "POST /v1/chat/completions HTTP/1.1",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "X-Fake-Delay-Ms: 60000",
        ) as connection:
            connection.sendall(body)
            eventually(lambda: live.upstream_stats()["running"])
        eventually(lambda: not live.upstream_stats()["running"])


def _upload(live: LiveProxy, plain: str, size: int) -> str:
    """A form with a file of this size. The SHA-256 of all of it."""
    start = (
        b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b\r\n'
        b'Content-Disposition: form-data; name="file"; filename="big.bin"\r\n\r\n'
    )
    end = b"\r\n--b--\r\n"
    digest = hashlib.sha256(start)
    block = bytes(range(256)) * 4096
    with _asked(
        live,
        plain,
        "POST /v1/files HTTP/1.1",
        "Content-Type: multipart/form-data; boundary=b",
        f"Content-Length: {len(start) + size + len(end)}",
        f"X-Marker: memory-{size}",
    ) as connection:
        connection.sendall(start)
        for _ in range(size // len(block)):
            connection.sendall(block)
            digest.update(block)
        connection.sendall(end)
        digest.update(end)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    return digest.hexdigest()


def _download(live: LiveProxy, plain: str, size: int) -> str:
    """The SHA-256 of a file of this size."""
    digest = hashlib.sha256()
    left = size
    with _asked(live, plain, f"GET /v1/files/file-size-{size}/content HTTP/1.1") as connection:
        received = connection.recv(65536)
        while b"\r\n\r\n" not in received:
            received += connection.recv(65536)
        part = received.partition(b"\r\n\r\n")[2]
        while True:
            digest.update(part)
            left -= len(part)
            if not left:
                return digest.hexdigest()
            part = connection.recv(MIB)
            assert part, f"{left} bytes are missing"


def _read_slowly(live: LiveProxy, plain: str, events: int) -> bytes:
    """A chat stream whose client falls asleep now and then: all that was received."""
    body = (
        b'{"model":"gpt-4o","stream":true,"stream_options":{"include_usage":true},'
        b'"messages":[{"role":"user","content":"Hi"}]}'
    )
    with _asked(
        live,
        plain,
        "POST /v1/chat/completions HTTP/1.1",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        f"X-Fake-Chunks: {events}",
        "Connection: close",
    ) as connection:
        connection.sendall(body)
        received = bytearray()
        pauses = [number * events * 40 for number in range(PAUSES)]
        while part := connection.recv(65536):
            received += part
            if pauses and len(received) > pauses[0]:
                del pauses[0]
                time.sleep(0.5)
    return bytes(received)


@contextmanager
def _asked(live: LiveProxy, plain: str, line: str, *headers: str) -> Iterator[socket.socket]:
    with connected(live.url, timeout=60) as connection:
        connection.sendall(head(line, f"Authorization: Bearer {plain}", *headers))
        yield connection
