"""The request while it runs, with an upstream that answers when it suits the test."""

import asyncio
import weakref
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx
import pytest
from uuid_utils.compat import uuid7

from proxy.bill import Bill
from proxy.client import Client
from proxy.configuration import configured_providers
from proxy.endpoints import Endpoint
from proxy.errors import UpstreamTimeout, UpstreamUnreachable
from proxy.exchange import Exchange
from proxy.facts import Facts
from proxy.incoming import ClientDisconnected
from proxy.metering.event_stream_meter import EventStreamMeter
from proxy.record import Record
from proxy.request import ProxyRequest
from proxy.tracing.answer import Told
from proxy.tracing.trace import Trace
from proxy.types import Message
from proxy.upstream import UpstreamCut
from proxy.upstreams import Upstreams
from tests.garbage import no_collection
from tests.grants import make_grant
from tokens.limits.memory import MemoryStore
from tokens.limits.values import NOTHING, Lease, Subject, Tally
from usage.entry import UsageEntry
from usage.outcomes import CostSource, Outcome, UsageSource
from usage.price_book import PriceBook

CHAT = Endpoint(path="/chat/completions", methods=("POST",), usage="openai")
REQUEST = ProxyRequest("POST", CHAT.path, b"", [], 2)
SEEN = Facts(model="gpt-4o")
DRAINING = make_grant(drain_seconds=60)


class World:
    """A client, its request, and an upstream that answers 404 at once when `may_answer` is set."""

    def __init__(self, facts: Facts = SEEN) -> None:
        self.hung_up = asyncio.Event()
        self.was_asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.client = Client(self._receive, self._send, max_body_bytes=100)
        self.client.body_ended = True
        self.entry = entry = UsageEntry(id=uuid7(), started_at=0, method="POST", path=CHAT.path)
        self.exchange = Exchange(
            DRAINING,
            Lease.of_nothing(entry.id, NOTHING, 0),
            Bill(DRAINING, CHAT, "POST", facts, 2, PriceBook()),
            self.client,
            entry,
            MemoryStore(self._no_tally, max_accounts=1),
        )

    async def run(self, upstream: httpx.AsyncBaseTransport | None = None) -> None:
        provider = configured_providers().default
        try:
            await self.exchange.run(Upstreams(), upstream or Upstream(self), REQUEST, provider, CHAT, b"{}")
        finally:
            await asyncio.sleep(0)  # as for Redis: here nothing must be cancelled any more

    async def _receive(self) -> Message:
        await self.hung_up.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        pass

    async def _no_tally(self, subject: Subject, at_ms: int) -> Tally:
        return Tally()


class Upstream(httpx.AsyncBaseTransport):
    def __init__(self, world: World) -> None:
        self._world = world

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions["on_connected"]()
        self._world.was_asked.set()
        await self._world.may_answer.wait()
        headers = {"content-type": "application/json"}
        return httpx.Response(404, headers=headers, stream=AtOnce())


class Failing(httpx.AsyncBaseTransport):
    """It breaks off before it answers."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions["on_connected"]()
        raise httpx.ReadError("broken")


class Answering(httpx.AsyncBaseTransport):
    """It answers with this at once."""

    def __init__(self, media_type: str, body: bytes) -> None:
        self._media_type = media_type
        self._body = body

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions["on_connected"]()
        headers = {"content-type": self._media_type, "content-length": str(len(self._body))}
        return httpx.Response(200, headers=headers, stream=AtOnce(self._body))


class Undeclared(Answering):
    """It does not say how long its answer is."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        del response.headers["content-length"]
        return response


class Pausing(httpx.AsyncBaseTransport, httpx.AsyncByteStream):
    """It says a part of its answer, and the rest when its client has gone."""

    def __init__(self, world: World, *parts: bytes) -> None:
        self._world = world
        self._parts = parts

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions["on_connected"]()
        return httpx.Response(200, headers={"content-type": "application/json"}, stream=self)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            yield part
            self._world.hung_up.set()
            await gone(self._world)


class Refusing(httpx.AsyncBaseTransport):
    """It does not send a request that is not what its head says."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise httpx.LocalProtocolError("the request's body is not as long as declared")


class AtOnce(httpx.AsyncByteStream):
    """Nobody has to wait for it."""

    def __init__(self, body: bytes = b"{}") -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body


@pytest.fixture
async def world() -> World:
    return World()


async def test_a_request_that_we_would_send_wrongly_is_not_upstreams_failure(world: World) -> None:
    with pytest.raises(httpx.LocalProtocolError):
        await world.run(Refusing())
    assert world.entry.attempts == 1


async def gone(world: World) -> None:
    while not world.client.is_gone:
        await asyncio.sleep(0.01)


async def test_an_error_that_comes_without_its_client_ends_the_request_as_a_hang_up(world: World) -> None:
    running = asyncio.create_task(world.run())
    await world.was_asked.wait()
    world.hung_up.set()
    await asyncio.wait_for(gone(world), 5)
    world.may_answer.set()
    with pytest.raises(ClientDisconnected):
        await running


async def test_a_request_that_must_not_drain_ends_with_the_hang_up(world: World) -> None:
    world.exchange.drain_no_more()
    running = asyncio.create_task(world.run())
    await world.was_asked.wait()
    world.hung_up.set()
    with pytest.raises(ClientDisconnected):
        await asyncio.wait_for(running, 5)


async def test_a_request_that_upstream_fails_does_not_wait_for_the_collector(world: World) -> None:
    async def fail(upstream: Failing) -> None:
        provider = configured_providers().default
        try:
            await world.exchange.run(Upstreams(), upstream, REQUEST, provider, CHAT, b"{}")
        except UpstreamUnreachable:
            return
        raise AssertionError

    with no_collection():
        upstream = Failing()
        kept = weakref.ref(upstream)
        await fail(upstream)
        del upstream
        assert kept() is None


async def test_a_request_whose_time_is_over_does_not_wait_for_the_collector(world: World) -> None:
    async def run_out(upstream: Upstream) -> None:
        running = asyncio.create_task(world.run(upstream))
        await world.was_asked.wait()
        world.client.expire(UpstreamTimeout())
        with suppress(UpstreamTimeout):
            await running
        world.client.forget_failure()

    with no_collection():
        upstream = Upstream(world)
        kept = weakref.ref(upstream)
        await run_out(upstream)
        del upstream
        assert kept() is None


async def test_what_the_proxy_adds_is_told_from_the_waits_for_upstream_and_client(world: World) -> None:
    recorded: list[UsageEntry] = []
    record = Record(world.entry, world.client, lambda entry, trace: recorded.append(entry))
    asyncio.get_running_loop().call_later(0.3, world.may_answer.set)
    await world.run()
    record.seal()

    assert recorded[0].duration_seconds > 0.3
    assert 0 < recorded[0].overhead_seconds < 0.2


async def test_waits_for_a_body_are_none_of_the_proxys_time() -> None:
    pieces = [b"{", b"}"]

    async def receive() -> Message:
        await asyncio.sleep(0.05)
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    client = Client(receive, World()._send, max_body_bytes=100)
    assert await client.read() == b"{}"
    assert client.elapsed_seconds() - 0.05 < client.waited_seconds < client.elapsed_seconds()
    assert client.waited_seconds > 0.09


SILENT = b'{"text":"%b"}' % (b"x" * 3989)
"""4000 bytes that report no usage: some 1000 model tokens."""


async def test_an_answer_that_reports_nothing_is_estimated_by_all_of_it(world: World) -> None:
    await world.run(Answering("application/json", SILENT))
    assert (world.entry.usage_source, world.entry.output_tokens) == (UsageSource.ESTIMATED, 1000)


async def test_what_comes_after_the_hang_up_is_estimated_as_well(world: World) -> None:
    with pytest.raises(ClientDisconnected):
        await world.run(Pausing(world, SILENT[:1000], SILENT[1000:]))
    await world.exchange.settle()
    assert (world.entry.usage_source, world.entry.output_tokens) == (UsageSource.ESTIMATED, 1000)


async def test_an_answer_that_is_whole_before_the_body_is_costs_what_it_reports(world: World) -> None:
    world.client.body_ended = False
    await world.run(
        Answering("application/json", WHOLE % b',"usage":{"prompt_tokens":10,"completion_tokens":5}')
    )
    assert (world.entry.usage_source, world.entry.output_tokens) == (UsageSource.UPSTREAM, 5)


ENDED = (
    b'data: {"id":"c","object":"chat.completion.chunk","choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
)
USED = b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}\n\n'
WHOLE = b'{"id":"c","choices":[{"finish_reason":"stop"}]%b}'


@pytest.mark.parametrize(
    ("media_type", "body", "told"),
    [
        ("text/event-stream", ENDED + USED, Told("c", ("stop",))),
        ("text/event-stream", ENDED, Told("c", ("stop",))),
        ("text/event-stream", USED + b"data: [DONE]\n\n", Told("c")),
        ("text/event-stream", b"data: [DONE]\n\n", None),
        ("application/json", WHOLE % b',"usage":{"prompt_tokens":1}', Told("c", ("stop",))),
        ("application/json", WHOLE % b"", None),
    ],
)
@pytest.mark.parametrize("is_kept", [True, False])
async def test_a_trace_hears_what_the_answer_says_of_itself(
    world: World, media_type: str, body: bytes, told: Told | None, is_kept: bool
) -> None:
    trace = world.client.trace = new_trace(is_kept=is_kept)
    await world.run(Answering(media_type, body))

    assert trace.answer == (told if is_kept else None)


async def test_a_meter_that_cannot_say_how_choices_ended_costs_the_trace_that(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(meter: EventStreamMeter) -> tuple[str, ...]:
        raise ValueError("no meter is perfect")

    monkeypatch.setattr(EventStreamMeter, "finish_reasons", fail)
    trace = world.client.trace = new_trace()
    await world.run(Answering("text/event-stream", ENDED + USED))

    assert world.entry.outcome == Outcome.COMPLETED
    assert world.entry.output_tokens == 1
    assert trace.answer is None


def new_trace(*, is_kept: bool = True) -> Trace:
    return Trace(b"t" * 16, None, is_kept=is_kept, scheme="https", host="", baggage=[], tells_upstream=False)


NAMED = b'data: {"object":"chat.completion.chunk","model":"gpt-4o","choices":[{"delta":{"content":"a"}}]}\n\n'


async def test_the_answer_to_a_body_that_was_not_seen_says_what_it_is() -> None:
    world = World(Facts())
    await world.run(Answering("text/event-stream", NAMED * 100 + b"data: [DONE]\n\n"))

    entry = world.entry
    assert (entry.model, entry.is_stream, entry.output_tokens) == ("gpt-4o", True, 100)
    assert (entry.usage_source, entry.cost_source) == (UsageSource.ESTIMATED, CostSource.PRICE)


async def test_a_stream_without_a_choice_that_was_asked_for_is_cut() -> None:
    with pytest.raises(UpstreamCut):
        await World(Facts(model="gpt-4o", is_stream=True, choices=2)).run(
            Undeclared("text/event-stream", ENDED)
        )
