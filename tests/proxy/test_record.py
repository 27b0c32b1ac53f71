"""What is recorded is what was true before the client could see the end, and is recorded once."""

import weakref
from typing import Any

from uuid_utils.compat import uuid7

from proxy.client import Client
from proxy.errors import ServiceUnavailable
from proxy.record import Record
from proxy.tracing.trace import Trace
from proxy.types import Message
from tests.garbage import no_collection
from usage.entry import UsageEntry


class World:
    """One request, and what was sent and recorded in which order."""

    def __init__(self) -> None:
        self.happened: list[Any] = []
        self.client = Client(self._receive, self._send, max_body_bytes=10)
        self.entry = UsageEntry(id=uuid7(), started_at=1.0, method="GET", path="/v1/x")
        self.record = Record(self.entry, self.client, self._write)

    async def _receive(self) -> Message:
        raise AssertionError("nobody listens")

    async def _send(self, message: Message) -> None:
        self.happened.append(message["type"].removeprefix("http.response."))

    def _write(self, entry: UsageEntry, trace: Trace | None) -> None:
        self.happened.append((entry.status, entry.response_bytes))


async def test_a_refusal_is_recorded_before_any_of_it_goes_out() -> None:
    world = World()
    error = ServiceUnavailable()
    await world.client.refuse(error)
    world.record.seal()

    assert world.happened == [(503, len(error.body())), "start", "body"]
    assert world.entry.first_byte_seconds is not None


async def test_the_last_bytes_count_before_they_go_out() -> None:
    world = World()
    await world.client.start(200, [])
    await world.client.write(b"first")
    world.client.announce_end(4)
    await world.client.write(b"last", is_last=True)
    world.record.seal()

    assert world.happened == ["start", "body", (200, 9), "body"]


async def test_an_end_that_nobody_saw_is_recorded_when_all_is_over() -> None:
    world = World()
    await world.client.start(200, [])
    world.client.is_gone = True
    world.client.announce_end(4)
    assert world.happened == ["start"]
    world.record.seal()

    assert world.happened == ["start", (200, 0)]


async def test_a_stream_that_is_cut_is_recorded_before_it_says_so() -> None:
    world = World()
    error = ServiceUnavailable()
    await world.client.start(200, [(b"content-type", b"text/event-stream")])
    await world.client.write(b"data: 1\n\n")
    await world.client.refuse(error)

    assert world.happened == ["start", "body", (200, 9 + len(error.event())), "body", "body"]


async def test_a_request_that_is_over_is_freed_without_the_collector() -> None:
    async def send(message: Message) -> None:
        """To nobody."""

    client = Client(World()._receive, send, max_body_bytes=10)
    record = Record(
        UsageEntry(id=uuid7(), started_at=1.0, method="GET", path="/v1/x"), client, lambda entry, trace: None
    )
    await client.start(200, [])
    client.announce_end(4)
    freed = weakref.ref(client)
    with no_collection():
        del client, record
        assert freed() is None, "requests would pile up until the collector runs"
