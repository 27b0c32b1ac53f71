"""What only the store in Redis does: several processes, the time, keys that go."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec
import pytest
import redis as sync_redis

from tests.tokens.limits.world import (
    LAG_MS,
    LEASE_MS,
    Clock,
    Ledger,
    World,
    all_of,
    connect,
    flush,
    keys_of,
    project,
    redis_store,
    token,
)
from tokens.limits import link
from tokens.limits.periods import DAY_MS, periods_at
from tokens.limits.redis import RedisStore
from tokens.limits.values import (
    NOTHING,
    Charge,
    Counters,
    Estimate,
    Lease,
    LimitReachedError,
    LimitsUnavailableError,
    Subject,
    Tally,
)

pytestmark = pytest.mark.redis


async def test_two_processes_admit_200_requests_at_once_exactly(redis_url: str, prefix: str) -> None:
    ledger = Ledger(Clock())
    stores = [redis_store(redis_url, prefix, ledger) for _ in range(2)]
    mine, shared = token(max_concurrent_requests=70), project(budgets=(1_000_000, None, None, None))

    async def request(store: RedisStore) -> Lease | None:
        try:
            return await store.acquire(uuid4(), (mine, shared), Estimate(10, 20_000))
        except LimitReachedError:
            return None

    leases = await asyncio.gather(*[request(stores[i % 2]) for i in range(200)])
    running = [lease for lease in leases if lease]
    assert len(running) == 50, "1 USD at 2 cents each"
    (counters,) = await stores[0].standing((shared,))
    assert (counters.active, counters.reserved[0]) == (50, 1_000_000)

    await asyncio.gather(*[stores[i % 2].settle(lease, Charge(5, 1_000)) for i, lease in enumerate(running)])
    assert await stores[1].standing((mine, shared)) == (Counters(50, 0, 50, 250, all_of(50_000)),) * 2
    for store in stores:
        await store.aclose()


async def test_a_lease_can_be_settled_and_swept_by_another_process(
    redis: World, redis_url: str, prefix: str
) -> None:
    other, mine = redis_store(redis_url, prefix, redis.ledger), token()
    first, _ = await redis.acquire(mine, microusd=1), await redis.acquire(mine, microusd=2)
    await other.settle(first, Charge(microusd=1))
    redis.clock.advance(LEASE_MS)
    swept = await asyncio.gather(redis.store.sweep(), other.sweep())
    await other.aclose()

    assert sum(swept) == 1
    assert (await redis.counters(mine)).active == 0
    assert (await redis.counters(mine)).reserved == all_of(0)


async def test_the_clock_is_that_of_redis(redis_url: str, prefix: str) -> None:
    async def load_tally(subject: Subject, at_ms: int) -> Tally:
        return Tally()

    store = RedisStore(connect(redis_url), load_tally, prefix=prefix)
    before_ms = time.time() * 1000
    lease = await store.acquire(uuid4(), (token(),), NOTHING)
    await store.aclose()

    assert before_ms - 1000 < lease.at_ms < time.time() * 1000 + 1000
    assert lease.periods == periods_at(lease.at_ms)


@pytest.mark.parametrize(
    "first",
    ["1970-01-01", "1999-12-31", "2000-02-27", "2023-12-30", "2024-02-27", "2100-02-27", "2399-12-30"],
)
async def test_redis_finds_the_periods_that_python_finds(redis: World, first: str) -> None:
    redis.clock.advance_to(first)
    for step_ms in (0, 1, 86_399_998, 1, 1, 86_399_999, 86_400_000, 86_400_000):
        redis.clock.advance(step_ms)
        lease = await redis.acquire(token())
        assert lease.periods == periods_at(redis.clock.ms), datetime.fromtimestamp(redis.clock.ms / 1000, UTC)


def test_every_day_of_four_centuries_has_the_periods_that_python_finds(sync: sync_redis.Redis) -> None:
    script = (link.SCRIPTS / "common.lua").read_text() + (
        "local all = {} for day = asked.first, asked.last do all[#all + 1] = periods_at(day * DAY_MS) end "
        "return cmsgpack.pack(all)"
    )
    for first in range(0, 400 * 366, 7000):
        asked = msgspec.msgpack.encode({"first": first, "last": first + 6999})
        answer: Any = sync.eval(script, 1, "{test-of-periods}", asked)
        expected = [list(periods_at(day * DAY_MS)) for day in range(first, first + 7000)]
        assert msgspec.msgpack.decode(answer) == expected


async def test_all_keys_go_some_time(redis: World, sync: sync_redis.Redis, prefix: str) -> None:
    mine, shared = token(), project()
    first, second, _ = [await redis.acquire(mine, shared) for _ in range(3)]
    await redis.settle(first)
    redis.clock.advance(LEASE_MS)
    await redis.store.renew([second])
    await redis.store.sweep()
    lives = {key: sync.ttl(key) for key in keys_of(sync, prefix)}

    assert len(lives) == 8, "two subjects, their two minutes, three leases, and their index"
    assert all(0 < seconds <= 86_400 for seconds in lives.values())


async def test_a_request_without_limits_does_not_ask_redis() -> None:
    async def load_tally(subject: Subject, at_ms: int) -> Tally:
        raise LimitsUnavailableError

    store = RedisStore(connect("redis://127.0.0.1:1"), load_tally)
    lease = await store.acquire(uuid4(), (), Estimate(5, 5))
    await store.settle(lease, Charge())

    assert await store.standing(()) == ()
    assert (lease.periods, store.outages) == (periods_at(lease.at_ms), 0)
    await store.aclose()


async def test_a_ledger_that_does_not_answer_makes_the_limits_unavailable_and_counts_nothing(
    redis_url: str, prefix: str
) -> None:
    is_away = True

    async def load_tally(subject: Subject, at_ms: int) -> Tally:
        if is_away:
            raise LimitsUnavailableError
        return Tally()

    store, mine = RedisStore(connect(redis_url), load_tally, prefix=prefix), token()
    with pytest.raises(LimitsUnavailableError):
        await store.acquire(uuid4(), (mine,), NOTHING)
    is_away = False

    assert await store.standing((mine,)) == (Counters(),)
    assert not store.is_away
    await store.aclose()


async def test_a_server_that_has_lost_the_scripts_is_given_them(redis: World, sync: sync_redis.Redis) -> None:
    mine = token()
    await redis.acquire(mine)
    sync.script_flush()
    await redis.acquire(mine)

    assert (await redis.counters(mine)).active == 2


async def test_what_a_flush_took_before_the_ledger_had_it_is_counted_again_when_all_is_quiet(
    redis: World, redis_url: str, prefix: str
) -> None:
    mine = token(budgets=(1000, None, None, None))
    await redis.settle(await redis.acquire(mine, microusd=600), microusd=600)
    late_row = redis.ledger.rows.pop()  # not written yet
    flush(redis_url, prefix)
    running = await redis.acquire(mine, microusd=300)
    redis.ledger.rows.append(late_row)
    await redis.store.sweep()
    assert (await redis.counters(mine)).spent == all_of(0)

    redis.clock.advance(LAG_MS)
    await redis.store.sweep()

    assert await redis.counters(mine) == Counters(2, 1, 2, 0, all_of(600), all_of(300))
    await redis.settle(running, microusd=300)
    assert (await redis.refused(mine, estimate=Estimate(microusd=101))).left == 100
