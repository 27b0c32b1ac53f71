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

from llm_proxy_site.server.request_head import RequestHead
from llm_proxy_site.server.uvicorn.framing import StrictProtocol
from tests.llm_proxy_site.server.framed import BAD_TRAILERS, HIDDEN, HOST, READ, WHOLE


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

    def request_came(self, head: RequestHead) -> None:
        self.read.append((head.method, head.target, b""))
        self.are_whole.append(head.length == 0)

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


@pytest.mark.parametrize("trailer", BAD_TRAILERS)
def test_a_trailer_is_one_by_the_rules_of_heads(trailer: bytes) -> None:
    head = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"
    reader = read(head + trailer + b"\r\n\r\n")

    assert [refused for refused, _ in reader.refusals] == [400]
    assert reader.ends == 0


def test_a_trailer_without_an_end_is_refused() -> None:
    head = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"
    reader = read(head, *[b"X-Trailer: %b\r\n" % (b"a" * 1000)] * 100)

    assert [refused for refused, _ in reader.refusals] == [400]
