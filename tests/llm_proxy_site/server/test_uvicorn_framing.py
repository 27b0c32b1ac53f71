"""Bytes cut anywhere: what is read of them is the same."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_proxy_site.server.choice import UVICORN, missing_modules

if missing := missing_modules(UVICORN):
    pytest.skip(f"not installed: {', '.join(missing)}", allow_module_level=True)

from uvicorn.config import Config
from uvicorn.server import ServerState

from llm_proxy_site.server.uvicorn.framing import StrictProtocol

HOST = b"Host: proxy.example\r\n"
HIDDEN = b"GET /hidden HTTP/1.1\r\n" + HOST + b"\r\n"
WHOLE = b"".join(
    [
        b"POST /declared HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
        b"\r\nGET /after-an-empty-line?a=1 HTTP/1.1\r\n" + HOST + b"\r\n",
        b"POST /chunked HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n",
        b"%x;name=value\r\n%b\r\n0\r\nX-Trailer: 1\r\n\r\n" % (len(HIDDEN), HIDDEN),
        b"X-CUSTOM /method HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"POST /upgrade HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
        b"Content-Length:\t%d \t\r\n\r\n" % len(HIDDEN) + HIDDEN,
        b"POST /chunked-upgrade HTTP/1.1\r\n" + HOST + b"Proxy-Connection: Upgrade\r\nUpgrade: h2c\r\n",
        b"Transfer-Encoding: chunked \r\n\r\n%x\r\n%b\r\n0\r\n" % (len(HIDDEN), HIDDEN),
        b"Connection: Upgrade, close\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\n",
        b"PUT /no-trailer HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        b"GET /last HTTP/1.0\r\n\r\n",
    ]
)
READ = [
    (b"POST", b"/declared", HIDDEN),
    (b"GET", b"/after-an-empty-line?a=1", b""),
    (b"POST", b"/chunked", HIDDEN),
    (b"X-CUSTOM", b"/method", b""),
    (b"POST", b"/upgrade", HIDDEN),
    (b"POST", b"/chunked-upgrade", HIDDEN),
    (b"PUT", b"/no-trailer", b"x"),
    (b"GET", b"/last", b""),
]


async def _nobody(scope: Any, receive: Any, send: Any) -> None:
    """Never called."""


class Reader(StrictProtocol):
    """Reads on and on; nobody answers."""

    def __init__(self) -> None:
        config = Config(_nobody, interface="asgi3", log_config=None, lifespan="off", ws="none")
        super().__init__(config, ServerState(), {}, asyncio.new_event_loop())
        self.loop.close()
        self.read: list[tuple[bytes, bytes, bytes]] = []
        self.are_whole: list[bool] = []
        self.ends = 0
        self.refusals: list[tuple[int, str]] = []

    is_busy = False

    def request_came(self, method: bytes, target: bytes, version: bytes, *, is_whole: bool) -> None:
        self.read.append((method, target, b""))
        self.are_whole.append(is_whole)

    def on_body(self, body: bytes) -> None:
        method, target, before = self.read.pop()
        self.read.append((method, target, before + body))

    def body_ended(self) -> None:
        self.ends += 1

    def came_ahead(self, data: bytes) -> None:
        raise AssertionError

    def refuse(self, status: int, message: str) -> None:
        self.is_refused = True
        self.refusals.append((status, message))


def read(*parts: bytes) -> Reader:
    reader = Reader()
    for part in parts:
        reader.feed(part)
    return reader


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, len(WHOLE)])
def test_requests_are_the_same_in_parts_of_any_size(size: int) -> None:
    reader = read(*(WHOLE[at : at + size] for at in range(0, len(WHOLE), size)))

    assert (reader.read, reader.refusals) == (READ, [])


@given(st.lists(st.integers(0, len(WHOLE)), max_size=4))
def test_requests_are_the_same_wherever_their_bytes_are_cut(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(WHOLE)]
    reader = read(*(WHOLE[begin:end] for begin, end in pairwise(places)))

    assert (reader.read, reader.refusals) == (READ, [])


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-A: b\rc", 400),
        (b"GET /" + b"a" * 66_000, 431),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 201 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n X: y\r\n\r\n", 400),
    ],
)
def test_what_is_no_head_is_refused_as_soon_as_it_is_seen(head: bytes, status: int) -> None:
    for size in (1, len(head)):
        reader = read(*(head[at : at + size] for at in range(0, len(head), size)))
        assert [refused for refused, _ in reader.refusals] == [status]
        assert not reader.read


@pytest.mark.parametrize(
    "lines",
    [
        b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        b"Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n",
        b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
        b"Connection: close, upgrade\r\nUpgrade: other\r\n",
        b"Proxy-Connection: upgrade\r\nUpgrade: h2c\r\n",
        b"Upgrade: h2c\r\n",
    ],
)
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_is_a_body_whatever_the_request_would_upgrade_to(lines: bytes, is_chunked: bool) -> None:
    head = b"POST /upgrade HTTP/1.1\r\n" + HOST + lines
    if is_chunked:
        request = head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)
    else:
        request = head + b"Content-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN
    for method in (b"POST", b"GET", b"X-CUSTOM", b"CONNECT"):
        sent = request.replace(b"POST", method)
        reader = read(sent * 2)

        assert reader.refusals == []
        assert reader.read == [(method, b"/upgrade", HIDDEN)] * 2
        assert (reader.are_whole, reader.ends) == ([False, False], 2)


@pytest.mark.parametrize("lengths", [b"5", b"5, 5", b"+5", b"-5", b"0x5", b"", b"5 5", b"9" * 31])
def test_a_length_is_one_number(lengths: bytes) -> None:
    twice = b"Content-Length: 5\r\n" if lengths == b"5" else b""
    reader = read(b"POST / HTTP/1.1\r\n" + HOST + twice + b"Content-Length: %b\r\n\r\nhello" % lengths)

    assert [refused for refused, _ in reader.refusals] == [400]
    assert not reader.read


def test_values_are_without_the_blanks_around_them() -> None:
    reader = read(b"GET / HTTP/1.1\r\nHost:\tx \r\nX-A:a \t b\t \r\nX-B: \r\nX-C:\r\n\r\n")

    assert reader.headers == [(b"host", b"x"), (b"x-a", b"a \t b"), (b"x-b", b""), (b"x-c", b"")]
    assert (reader.are_whole, reader.ends) == ([True], 0)


def test_a_trailer_without_an_end_is_refused() -> None:
    head = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"
    reader = read(head, *[b"X-Trailer: %b\r\n" % (b"a" * 1000)] * 100)

    assert [refused for refused, _ in reader.refusals] == [400]
