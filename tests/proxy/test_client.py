"""How an answer can be cut that runs: with an event where the client can read one, else broken off."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.client import Client
from proxy.errors import TokenExpired
from proxy.incoming import ClientDisconnected
from proxy.types import Headers, Message

SSE: Headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
JSON: Headers = [(b"content-type", b"application/json")]
EVENTS = b'data: {"a":1}\n\ndata: {"b":2}\r\n\r\nevent: x\ndata: {"c":3}\n\n'


class Wire:
    """What a client has received, and when it hangs up."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.hung_up = asyncio.Event()

    async def receive(self) -> Message:
        if not any(message["type"] == "http.response.start" for message in self.sent):
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.hung_up.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def has_ended(self) -> bool:
        return self.sent[-1]["type"] == "http.response.body" and not self.sent[-1]["more_body"]


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def client(wire: Wire) -> Client:
    return Client(wire.receive, wire.send, max_body_bytes=1000)


async def run_until_cut(client: Client, headers: Headers, *chunks: bytes) -> None:
    """An answer of these chunks that goes on for ever; cut after the last."""
    await client.read()
    try:
        with client.failure_cancels():
            await client.start(200, headers)
            for chunk in chunks:
                await client.write(chunk)
            asyncio.get_running_loop().call_soon(client.cut, TokenExpired())
            await asyncio.sleep(60)
    except TokenExpired as error:
        await client.refuse(error)


async def test_a_stream_is_cut_with_an_event_that_says_why(client: Client, wire: Wire) -> None:
    await run_until_cut(client, SSE, EVENTS)
    assert wire.body == EVENTS + TokenExpired().event()
    assert wire.has_ended


async def test_a_request_without_an_answer_is_cut_with_an_error(client: Client, wire: Wire) -> None:
    async def run() -> None:
        with client.failure_cancels():
            client.cut(TokenExpired())
            await asyncio.sleep(60)

    await client.read()
    with pytest.raises(TokenExpired):
        await run()
    await client.refuse(TokenExpired())
    assert wire.sent[0]["status"] == 401
    assert json.loads(wire.body)["error"]["code"] == "token_expired"


@pytest.mark.parametrize(
    "headers",
    [JSON, [*SSE, (b"content-encoding", b"gzip")], [*SSE, (b"content-length", b"9999")]],
    ids=["json", "gzip", "length"],
)
async def test_what_cannot_take_an_event_is_broken_off(client: Client, wire: Wire, headers: Headers) -> None:
    with pytest.raises(ConnectionAbortedError):
        await run_until_cut(client, headers, b"data: {}\n\n")
    assert not wire.has_ended


async def test_an_event_that_has_begun_is_ended_before_the_cut(client: Client, wire: Wire) -> None:
    async def run() -> None:
        with client.failure_cancels():
            await client.start(200, SSE)
            await client.write(b'data: {"a"')
            client.cut(TokenExpired())
            client.cut(TokenExpired())
            await client.write(b":1")
            await client.write(b"}\n")
            await client.write(b'\ndata: {"b":2}\n\n')

    await client.read()
    with pytest.raises(TokenExpired):
        await run()
    await client.refuse(TokenExpired())
    assert wire.body == b'data: {"a":1}\n\n' + TokenExpired().event()
    assert wire.has_ended


async def test_an_end_within_an_event_that_was_to_be_cut_is_announced(client: Client, wire: Wire) -> None:
    had_ended: list[bool] = []
    client.before_end = lambda coming_bytes: had_ended.append(wire.has_ended)
    await client.read()
    with client.failure_cancels():
        await client.start(200, SSE)
        await client.write(b'data: {"a"')
        client.cut(TokenExpired())
        client.announce_end()
        await client.end()

    assert had_ended == [False]
    assert wire.has_ended


async def test_an_event_that_does_not_end_is_broken_off(client: Client, wire: Wire) -> None:
    with pytest.raises(ConnectionAbortedError):
        await asyncio.wait_for(run_until_cut(client, SSE, b'data: {"a"'), timeout=5)
    assert not wire.has_ended


async def test_a_client_that_does_not_read_is_not_waited_for(client: Client, wire: Wire) -> None:
    async def stuck(message: Message) -> None:
        wire.sent.append(message)
        if message["type"] == "http.response.body":
            await asyncio.sleep(60)

    client._send = stuck
    with pytest.raises(ConnectionAbortedError):
        await asyncio.wait_for(_write_for_ever(client), timeout=5)


async def _write_for_ever(client: Client) -> None:
    await client.read()
    try:
        with client.failure_cancels():
            await client.start(200, SSE)
            asyncio.get_running_loop().call_soon(client.cut, TokenExpired())
            await client.write(EVENTS)
    except TokenExpired as error:
        await client.refuse(error)


async def test_a_cut_after_the_end_changes_nothing(client: Client, wire: Wire) -> None:
    await client.read()
    with client.failure_cancels():
        await client.start(200, SSE)
        await client.write(EVENTS)
        await client.end()
    client.cut(TokenExpired())
    await client.refuse(TokenExpired())
    assert wire.body == EVENTS


async def test_a_hangup_ends_what_the_request_waits_for(client: Client, wire: Wire) -> None:
    async def run() -> None:
        with client.failure_cancels():
            await client.start(200, JSON)
            wire.hung_up.set()
            await asyncio.sleep(60)

    await client.read()
    with pytest.raises(ClientDisconnected):
        await run()


def _pieces(data: st.DataObject) -> Iterator[bytes]:
    rest = EVENTS
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        yield rest[:size]
        rest = rest[size:]


@given(st.data(), st.integers(0, len(EVENTS)))
def test_however_a_stream_is_cut_into_chunks_its_events_stay_whole(data: st.DataObject, cut_at: int) -> None:
    wire = Wire()
    chunks = list(_pieces(data))

    async def run() -> None:
        client = Client(wire.receive, wire.send, max_body_bytes=1000)
        await client.read()
        try:
            with client.failure_cancels():
                await client.start(200, SSE)
                for index, chunk in enumerate(chunks):
                    if index == min(cut_at, len(chunks) - 1):
                        client.cut(TokenExpired())
                        await asyncio.sleep(0)
                    await client.write(chunk)
        except TokenExpired as error:
            await client.refuse(error)

    asyncio.run(run())
    whole, _, rest = wire.body.partition(TokenExpired().event())
    assert not rest
    assert EVENTS.startswith(whole)
    assert not whole or whole.endswith((b"\n\n", b"\r\n\r\n"))
    assert wire.has_ended


async def drain(client: Client, wire: Wire, seconds: int) -> None:
    """An answer whose client hangs up after its first chunk, and that goes on for three more."""
    await client.read()
    client.drain_seconds = seconds
    with client.failure_cancels():
        await client.start(200, SSE)
        await client.write(EVENTS)
        wire.hung_up.set()
        while not client.is_gone:
            await asyncio.sleep(0)
        for _ in range(3):
            await client.write(EVENTS)
        await client.end()


async def test_an_answer_goes_on_without_its_client_and_nothing_more_is_sent(
    client: Client, wire: Wire
) -> None:
    await asyncio.wait_for(drain(client, wire, 60), 5)

    assert client.failure is None
    assert wire.body == EVENTS
    assert client.sent_bytes == len(EVENTS)
    assert not wire.has_ended


async def hang_up_and_wait(client: Client, wire: Wire, then: Callable[[], None]) -> None:
    """An answer that would never end; `then` is called when its client has hung up."""
    await client.read()
    client.drain_seconds = 60
    with client.failure_cancels():
        await client.start(200, SSE)
        wire.hung_up.set()
        while not client.is_gone:
            await asyncio.sleep(0)
        then()
        await asyncio.Event().wait()


async def test_an_answer_without_its_client_is_cut_without_a_word(client: Client, wire: Wire) -> None:
    with pytest.raises(ClientDisconnected):
        await hang_up_and_wait(client, wire, lambda: client.cut(TokenExpired()))

    assert wire.body == b""


async def test_an_answer_without_its_client_ends_where_nothing_is_to_be_learnt(
    client: Client, wire: Wire
) -> None:
    with pytest.raises(ClientDisconnected):
        await hang_up_and_wait(client, wire, client.drain_no_more)


async def test_a_client_that_leaves_while_nobody_takes_its_body_is_noticed(wire: Wire) -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": b"x", "more_body": True}

    client = Client(receive, wire.send, max_body_bytes=1000)

    async def send_on() -> None:
        with client.failure_cancels():
            async for _ in client.body():
                client.hung_up()
                await asyncio.Event().wait()  # upstream does not read

    with pytest.raises(ClientDisconnected):
        await asyncio.wait_for(send_on(), 5)


async def test_a_client_whose_body_has_ended_is_not_taken_for_one_that_leaves_in_its_midst(
    client: Client, wire: Wire
) -> None:
    await client.read()
    with client.failure_cancels():
        client.hung_up()
        await asyncio.sleep(0)
    assert client.failure is None


async def test_a_client_that_leaves_before_upstream_is_asked_is_not_waited_for(client: Client) -> None:
    """Its server tells while the request waits for Redis: nobody reads then, and nobody would tell again."""
    client.hung_up()

    with pytest.raises(ClientDisconnected), client.failure_cancels():
        raise AssertionError
    assert isinstance(client.failure, ClientDisconnected)


async def test_parts_of_a_body_go_past_the_messages_where_the_server_takes_them() -> None:
    wire, taken, may_go_on = Wire(), [], asyncio.Event()

    def write_on(chunk: bytes) -> Awaitable[bool] | None:
        taken.append(chunk)
        return may_go_on.wait() if chunk == b"slowly" else None

    client = Client(wire.receive, wire.send, max_body_bytes=100)
    client.write_on = write_on
    await client.start(200, SSE)
    await client.write(b"at once")
    writing = asyncio.ensure_future(client.write(b"slowly"))
    await asyncio.sleep(0)
    assert (taken, writing.done()) == ([b"at once", b"slowly"], False)
    may_go_on.set()
    await writing
    await client.write(b"last", is_last=True)

    assert wire.body == b"last"
    assert client.sent_bytes == len(b"at onceslowlylast")
