"""What a client can have seen when the request is settled: never its end."""

import zlib

import httpx
import pytest

from proxy.client import Client
from proxy.endpoints import Endpoint
from proxy.metering.meter import meter_for
from proxy.metering.traces import TraceRemover
from proxy.relay import relay
from proxy.types import Headers, Message
from proxy.upstream import UpstreamCut

ENDPOINT = Endpoint(path="/x", methods=("POST",), usage="openai")
SSE: Headers = [(b"content-type", b"text/event-stream")]
CHUNK, DONE = b'data: {"a":1}\n\n', b"data: [DONE]\n\n"


class Upstream(httpx.AsyncByteStream):
    def __init__(self, *chunks: bytes, breaks_off: bool = False) -> None:
        self._chunks = list(chunks)
        self._breaks_off = breaks_off

    def __aiter__(self) -> "Upstream":
        return self

    async def __anext__(self) -> bytes:
        if not self._chunks:
            raise httpx.ReadError("broken") if self._breaks_off else StopAsyncIteration
        return self._chunks.pop(0)


CHAT = b'data: {"object":"chat.completion.chunk","choices":[{"delta":{},"finish_reason":null}]}\n\n'


@pytest.mark.parametrize(
    ("headers", "chunks", "seen"),
    [
        (SSE, (CHUNK, DONE), [CHUNK]),  # an SDK does not wait for what follows
        (SSE, (CHUNK, CHUNK), [CHUNK, CHUNK]),  # the end itself is still to come
        ([(b"content-length", b"4")], (b"ab", b"cd"), [b"ab"]),
        ([(b"content-length", b"0")], (), []),
    ],
    ids=["done", "end", "length", "empty"],
)
async def test_request_is_settled_before_its_end_is_told(
    headers: Headers, chunks: tuple[bytes, ...], seen: list[bytes]
) -> None:
    sent: list[Message] = []
    at_settling: list[list[bytes]] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("nobody listens")

    async def settle(coming_bytes: int) -> None:
        at_settling.append([message["body"] for message in sent if message["type"] == "http.response.body"])

    response = httpx.Response(200, stream=Upstream(*chunks))
    client = Client(receive, send, max_body_bytes=0)
    await relay(response, headers, client, meter_for(ENDPOINT, headers), before_end=settle)

    assert at_settling[0] == seen
    assert b"".join(message.get("body", b"") for message in sent) == b"".join(chunks)
    assert not sent[-1]["more_body"]


@pytest.mark.parametrize("breaks_off", [False, True], ids=["ends", "breaks off"])
async def test_a_stream_without_its_last_event_is_not_ended(breaks_off: bool) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("nobody listens")

    async def settle(coming_bytes: int) -> None:
        raise AssertionError("this is no end")

    response = httpx.Response(200, stream=Upstream(CHAT, b"data: {", breaks_off=breaks_off))
    client = Client(receive, send, max_body_bytes=0)
    with pytest.raises(UpstreamCut):
        await relay(response, SSE, client, meter_for(ENDPOINT, SSE), TraceRemover(), before_end=settle)

    assert [message.get("body") for message in sent] == [None, CHAT, b"data: {"]
    assert sent[-1]["more_body"]


async def test_what_ends_the_compression_may_come_after_the_last_event() -> None:
    """The request is settled at the event, before the client can see it; the rest passes all the same."""
    compressor = zlib.compressobj(wbits=31)
    chunks = [compressor.compress(CHUNK + DONE) + compressor.flush(zlib.Z_SYNC_FLUSH), compressor.flush()]
    sent: list[Message] = []
    at_settling: list[tuple[int, int]] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("nobody listens")

    async def settle(coming_bytes: int) -> None:
        at_settling.append((len(sent), coming_bytes))

    headers: Headers = [*SSE, (b"content-encoding", b"gzip")]
    response = httpx.Response(200, stream=Upstream(*chunks))
    client = Client(receive, send, max_body_bytes=0)
    await relay(response, headers, client, meter_for(ENDPOINT, headers), before_end=settle)

    assert at_settling[0] == (1, len(chunks[0]))
    assert b"".join(message.get("body", b"") for message in sent) == b"".join(chunks)
