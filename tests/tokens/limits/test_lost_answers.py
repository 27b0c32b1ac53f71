"""Scripts that do not arrive, answers that are lost, and clients that hang up: everything is counted once."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any
from uuid import uuid4

import pytest
import redis as sync_redis
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.tokens.limits.world import (
    LAG_MS,
    LEASE_MS,
    Clock,
    Ledger,
    World,
    all_of,
    connect,
    keys_of,
    options,
    redis_store,
    token,
)
from tokens.limits import link
from tokens.limits.redis import RedisStore
from tokens.limits.values import (
    Charge,
    Counters,
    Estimate,
    Lease,
    LimitsUnavailableError,
)

pytestmark = pytest.mark.redis


class FaultyRedis(Redis):
    """A real client whose next scripts, in this order, go wrong."""

    faults: list[str]

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        fault = self.__dict__.setdefault("faults", []) and args[0] == "EVALSHA" and self.faults.pop(0)
        if fault == "request is lost":
            raise RedisError(fault)
        answer = await super().execute_command(*args, **options)
        if fault == "answer is lost":
            raise RedisError(fault)
        return answer

    def go_wrong(self, *faults: str) -> None:
        self.faults = list(faults)


@pytest.fixture
async def faulty(redis_url: str, prefix: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """A world, and its client to make faults. Redis is looked for at once after each."""
    monkeypatch.setattr(link, "PROBE_SECONDS", 0)
    client = FaultyRedis.from_url(redis_url, **options())
    ledger = Ledger(Clock())
    store = redis_store(redis_url, prefix, ledger, client)
    yield World(store, ledger.clock, ledger), client
    await store.aclose()


async def redis_is_back(store: RedisStore) -> None:
    while store.is_away:
        await asyncio.sleep(0)


@pytest.mark.parametrize("fault", ["request is lost", "answer is lost"])
@pytest.mark.parametrize("wait_ms", [0, LEASE_MS])
async def test_an_admission_that_nobody_heard_of_is_taken_back(faulty: Any, fault: str, wait_ms: int) -> None:
    world, client = faulty
    mine = token(max_requests=2)
    running = await world.acquire(mine, model_tokens=1, microusd=1)
    client.go_wrong(fault)
    with pytest.raises(LimitsUnavailableError):
        await world.acquire(mine, model_tokens=5, microusd=7)
    await redis_is_back(world.store)
    world.clock.advance(wait_ms)
    await world.store.sweep()
    await world.store.renew([running])

    assert await world.counters(mine) == Counters(1, 1, 1, 1, all_of(0), all_of(1))
    assert await world.admitted(mine, requests=5) == 1


@pytest.mark.parametrize("fault", ["request is lost", "answer is lost"])
@pytest.mark.parametrize("wait_ms", [0, LEASE_MS, 60_000])
async def test_an_end_that_redis_did_not_confirm_is_counted_exactly_once(
    faulty: Any, fault: str, wait_ms: int
) -> None:
    world, client = faulty
    mine = token()
    lease = await world.acquire(mine, model_tokens=5, microusd=7)
    client.go_wrong(fault)
    await world.settle(lease, model_tokens=2, microusd=3)
    await redis_is_back(world.store)
    world.clock.advance(wait_ms)
    for _ in range(2):
        await world.store.sweep()

    recent = (1, 2) if wait_ms < 60_000 else (0, 0)
    assert await world.counters(mine) == Counters(1, 0, *recent, all_of(3))


@pytest.mark.parametrize("fault", ["request is lost", "answer is lost"])
async def test_after_a_long_outage_the_ledger_says_how_requests_ended(
    faulty: Any, sync: sync_redis.Redis, prefix: str, fault: str
) -> None:
    world, client = faulty
    mine = token()
    lease = await world.acquire(mine, model_tokens=5, microusd=7)
    client.go_wrong(fault)
    await world.settle(lease, model_tokens=2, microusd=3)
    await redis_is_back(world.store)
    if fault == "answer is lost":  # an end that was told is remembered only for a while
        sync.delete(*[key for key in keys_of(sync, prefix) if b":lease:" in key])
    for wait_ms in (60_001, LAG_MS):
        world.clock.advance(wait_ms)
        await world.store.sweep()

    assert await world.counters(mine) == Counters(1, 0, 0, 0, all_of(3))


async def test_a_late_end_is_not_counted_again_when_the_ledger_has_told_of_it(
    faulty: Any, redis_url: str, prefix: str
) -> None:
    world, client = faulty
    other, mine = redis_store(redis_url, prefix, world.ledger), token()
    await world.acquire(mine)
    lease = await world.acquire(mine, model_tokens=5, microusd=7)
    client.go_wrong("request is lost")
    await world.settle(lease, model_tokens=2, microusd=3)
    world.clock.advance(LAG_MS)
    other.recount_later([mine])
    world.clock.advance(LAG_MS)
    await other.sweep()
    await redis_is_back(world.store)
    await world.store.sweep()
    await other.aclose()

    assert await world.counters(mine) == Counters(2, 1, 2, 2, all_of(3))


async def cut(step: Coroutine[Any, Any, Any], *, after_turns: int) -> Any:
    """What comes of a step that is cancelled after so many turns of the event loop."""
    task = asyncio.create_task(step)
    for _ in range(after_turns):
        await asyncio.sleep(0)
    task.cancel()
    return (await asyncio.gather(task, return_exceptions=True))[0]


async def test_a_client_that_hangs_up_while_redis_is_asked_holds_nothing(
    redis: World, redis_url: str, prefix: str
) -> None:
    client, mine = connect(redis_url), token()
    store = redis_store(redis_url, prefix, redis.ledger, client)
    heard = 0
    for turns in range(1, 40):
        if turns % 2:
            await client.connection_pool.disconnect()
        lease = await cut(store.acquire(uuid4(), (mine,), Estimate(5, 7)), after_turns=turns)
        if isinstance(lease, Lease):
            heard += 1
            await store.settle(lease, Charge())
    await store.sweep()
    await store.aclose()

    assert await redis.counters(mine) == Counters(heard, 0, heard)


async def test_a_settle_that_is_cancelled_is_made_good(redis: World, redis_url: str, prefix: str) -> None:
    client, mine = connect(redis_url), token()
    store = redis_store(redis_url, prefix, redis.ledger, client)
    for turns in range(1, 40):
        lease = await store.acquire(uuid4(), (mine,), Estimate(0, 7))
        if turns % 2:
            await client.connection_pool.disconnect()
        await cut(store.settle(lease, Charge(0, 1)), after_turns=turns)
    await store.sweep()
    await store.aclose()

    assert await redis.counters(mine) == Counters(39, 0, 39, 0, all_of(39))


async def test_a_script_that_arrives_after_it_was_given_up_counts_nothing(redis: World) -> None:
    mine, request_id = token(), uuid4()
    lease = await redis.store.acquire(request_id, (mine,), Estimate(1, 1))
    await redis.store.settle(lease, Charge())
    with pytest.raises(LimitsUnavailableError):
        await redis.store.acquire(request_id, (mine,), Estimate(1, 1))

    assert (await redis.counters(mine)).requests == 1
