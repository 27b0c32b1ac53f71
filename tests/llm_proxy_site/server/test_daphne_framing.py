"""Bytes cut anywhere: what Daphne's connections read of them is the same."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.testing import StringTransport

from llm_proxy_site.server.daphne.framing import StrictChannel
from llm_proxy_site.server.request_head import RequestHead
from tests.llm_proxy_site.server.framed import BAD_TRAILERS, HOST, READ, WHOLE


class Request:
    """Answered as soon as it is whole."""

    head: RequestHead

    def __init__(self, channel: "Reader") -> None:
        self._channel = channel
        self._body = b""

    def gotLength(self, length: int | None) -> None:
        """Its body follows."""

    def handleContentChunk(self, data: bytes) -> None:
        self._body += data

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        self._channel.read.append((command, path, self._body))
        self._channel.requestDone(self)


class Reader(StrictChannel):
    requestFactory = Request
    timeOut = None

    def __init__(self) -> None:
        super().__init__()
        self.read: list[tuple[bytes, bytes, bytes]] = []
        self.makeConnection(StringTransport())

    def refuse(self, status: int, message: str) -> None:
        self.is_refused = True


def read(*parts: bytes) -> Reader:
    reader = Reader()
    for part in parts:
        reader.dataReceived(part)
    return reader


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, len(WHOLE)])
def test_requests_are_the_same_in_parts_of_any_size(size: int) -> None:
    assert read(*(WHOLE[at : at + size] for at in range(0, len(WHOLE), size))).read == READ


@given(st.lists(st.integers(0, len(WHOLE)), max_size=4))
def test_requests_are_the_same_wherever_their_bytes_are_cut(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(WHOLE)]
    assert read(*(WHOLE[begin:end] for begin, end in pairwise(places))).read == READ


@pytest.mark.parametrize("trailer", BAD_TRAILERS)
def test_a_trailer_is_one_by_the_rules_of_heads(trailer: bytes) -> None:
    head = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"
    reader = read(head + trailer + b"\r\n\r\n")

    assert reader.is_refused
    assert not reader.read
