"""The wire between processes, on a real Redis."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tests.live import eventually_async
from tests.usage.live.rows import row
from usage.live.redis_wire import RedisWire
from usage.live.row import Batch

pytestmark = pytest.mark.redis


class ProcessEnd:
    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.is_watched = False
        self.is_away = False

    def arrived(self, batch: Batch) -> None:
        self.batches.append(batch)

    def set_watched(self, is_watched: bool) -> None:
        self.is_watched = is_watched

    def set_away(self, is_away: bool) -> None:
        self.is_away = is_away


@asynccontextmanager
async def process(url: str, channel: str) -> AsyncIterator[tuple[RedisWire, ProcessEnd]]:
    redis = Redis.from_url(
        url, socket_timeout=10, socket_connect_timeout=10, retry=Retry(NoBackoff(), 0), client_name=channel
    )
    wire, end = RedisWire(redis, channel=channel), ProcessEnd()
    wire.start(end)
    try:
        yield wire, end
    finally:
        await wire.stop()


@pytest.fixture
def channel() -> str:
    return f"test:{uuid4()}"


async def test_who_watches_in_one_process_is_told_by_the_others(redis_url: str, channel: str) -> None:
    async with process(redis_url, channel) as (watching, seen), process(redis_url, channel) as (told, end):
        await asyncio.sleep(0.1)
        assert not end.is_watched
        watching.listen(True)
        await eventually_async(lambda: end.is_watched)
        told.send(batch := Batch([row()], lost=2))
        await eventually_async(lambda: seen.batches == [batch])
        assert end.batches == []
        watching.listen(False)
        await eventually_async(lambda: not end.is_watched)


async def test_a_process_that_dies_does_not_keep_the_others_telling(redis_url: str, channel: str) -> None:
    async with process(redis_url, channel) as (_, end):
        async with process(redis_url, channel) as (watching, _):
            watching.listen(True)
            await eventually_async(lambda: end.is_watched)
        await eventually_async(lambda: not end.is_watched)


async def test_what_comes_while_one_is_on_its_way_is_counted_in_the_next(
    redis_url: str, channel: str
) -> None:
    async with process(redis_url, channel) as (wire, end):
        wire.listen(True)
        await subscribed(redis_url, channel)
        wire.send(Batch([row()]))
        wire.send(Batch([row()], lost=1))
        await eventually_async(lambda: end.batches)
        wire.send(Batch([row()]))
        await eventually_async(lambda: len(end.batches) == 2)
        assert [batch.lost for batch in end.batches] == [0, 2]


async def test_nonsense_on_the_channel_is_passed_over(redis_url: str, channel: str) -> None:
    async with process(redis_url, channel) as (wire, end), Redis.from_url(redis_url) as other:
        wire.listen(True)
        await subscribed(redis_url, channel)
        await other.publish(channel, b"\xff nonsense")
        wire.send(batch := Batch([row()]))
        await eventually_async(lambda: end.batches == [batch])


async def test_a_redis_that_is_away_stops_nothing_and_is_told(channel: str) -> None:
    async with process("redis://127.0.0.1:1/0", channel) as (wire, end):
        wire.listen(True)
        await eventually_async(lambda: end.is_away)
        assert not end.is_watched
        wire.send(Batch([row()]))


async def test_a_connection_that_breaks_is_made_anew(redis_url: str, channel: str) -> None:
    async with process(redis_url, channel) as (wire, end), Redis.from_url(redis_url) as other:
        wire.listen(True)
        await subscribed(redis_url, channel)
        (own,) = [client for client in await other.client_list(_type="pubsub") if client["name"] == channel]
        await other.client_kill_filter(_id=own["id"])
        await subscribed(redis_url, channel, count=0)
        await subscribed(redis_url, channel)
        wire.send(batch := Batch([row()]))
        await eventually_async(lambda: end.batches == [batch])


async def subscribed(url: str, channel: str, *, count: int = 1) -> None:
    """Waits until so many processes are known to Redis as listening."""
    async with Redis.from_url(url) as redis, asyncio.timeout(10):
        while (await redis.pubsub_numsub(channel))[0][1] != count:
            await asyncio.sleep(0.01)
