"""Counters in Redis are built from the ledger when they are missing, and anew when they are wrong."""

import pytest

from tests.tokens.limits.world import (
    LAG_MS,
    LEASE_MS,
    Clock,
    Ledger,
    World,
    all_of,
    flush,
    project,
    redis_store,
    token,
)
from tokens.limits.values import (
    Charge,
    Counters,
    Subject,
    Tally,
)

pytestmark = pytest.mark.redis


async def test_flushed_counters_are_built_from_the_ledger(redis: World, redis_url: str, prefix: str) -> None:
    mine = token(max_requests=4, budgets=(100, None, None, None))
    for _ in range(2):
        await redis.settle(await redis.acquire(mine, model_tokens=9, microusd=9), model_tokens=7, microusd=8)
    before = await redis.counters(mine)
    flush(redis_url, prefix)

    assert await redis.counters(mine) == before == Counters(2, 0, 2, 14, all_of(16))
    assert await redis.admitted(mine, requests=9) == 2


async def test_running_requests_come_back_with_their_renewal_after_a_flush(
    redis: World, redis_url: str, prefix: str
) -> None:
    mine, shared = token(), project()
    leases = [await redis.acquire(mine, shared, model_tokens=5, microusd=10) for _ in range(3)]
    flush(redis_url, prefix)
    for _ in range(2):
        await redis.store.renew(leases)
    for subject in (mine, shared):
        assert await redis.counters(subject) == Counters(3, 3, 3, 15, all_of(0), all_of(30))
    for lease in leases:
        await redis.settle(lease, model_tokens=1, microusd=2)

    for subject in (mine, shared):
        assert await redis.counters(subject) == Counters(3, 0, 3, 3, all_of(6))


async def test_a_request_that_ends_after_a_flush_is_counted_once(
    redis: World, redis_url: str, prefix: str
) -> None:
    mine = token()
    lease = await redis.acquire(mine, model_tokens=5, microusd=10)
    flush(redis_url, prefix)
    await redis.acquire(mine)
    await redis.settle(lease, model_tokens=1, microusd=2)

    assert await redis.counters(mine) == Counters(2, 1, 2, 1, all_of(2))


async def test_a_row_that_was_not_written_when_counters_were_built_is_found_later(
    redis: World, redis_url: str, prefix: str
) -> None:
    mine = token()
    lease = await redis.acquire(mine, microusd=10)
    flush(redis_url, prefix)
    await redis.store.settle(lease, Charge(3, 5))
    assert (await redis.counters(mine)).spent == all_of(0), "neither Redis nor the ledger knows"
    redis.ledger.write(lease, Charge(3, 5))
    await redis.store.sweep()
    assert (await redis.counters(mine)).spent == all_of(0), "the ledger is given its time"
    redis.clock.advance(LAG_MS)
    await redis.store.sweep()

    assert await redis.counters(mine) == Counters(1, 0, 1, 3, all_of(5))


async def test_a_recount_keeps_what_running_requests_hold(redis: World) -> None:
    mine = token()
    running, swept = await redis.acquire(mine, microusd=10), await redis.acquire(mine, microusd=20)
    redis.clock.advance(LEASE_MS - 1)
    await redis.store.renew([running])
    redis.clock.advance(1)
    await redis.store.sweep()
    redis.ledger.add(mine, "2026-03-11 12:00", Charge(7, 8))  # what Redis does not know
    redis.shared.recount_later([mine])
    redis.clock.advance(LAG_MS)
    await redis.store.sweep()
    assert await redis.counters(mine) == Counters(2, 1, 3, 7, all_of(8), all_of(10))

    await redis.store.renew([running, swept])
    assert await redis.counters(mine) == Counters(3, 2, 3, 7, all_of(8), all_of(30))
    for lease in (running, swept):
        await redis.settle(lease, model_tokens=1, microusd=1)
    assert await redis.counters(mine) == Counters(3, 0, 3, 9, all_of(10))


async def test_a_request_that_was_recounted_and_ran_out_is_not_counted_again(redis: World) -> None:
    mine = token()
    lease = await redis.acquire(mine, microusd=10)
    redis.shared.recount_later([mine])
    redis.clock.advance(LAG_MS)
    await redis.store.sweep()
    redis.clock.advance(LEASE_MS)
    await redis.store.sweep()
    await redis.store.renew([lease])

    assert await redis.counters(mine) == Counters(1, 1, 1, 0, all_of(0), all_of(10))


async def test_a_recount_loses_nothing_that_is_settled_meanwhile(redis: World) -> None:
    mine = token()
    lease = await redis.acquire(mine)
    read = redis.ledger.load_tally

    async def load_tally(subject: Subject, at_ms: int) -> Tally:
        tally = await read(subject, at_ms)
        redis.clock.advance(1)
        await redis.store.settle(lease, Charge(microusd=5))
        return tally

    redis.shared._tallies._load_tally = load_tally
    redis.shared.recount_later([mine])
    redis.clock.advance(LAG_MS)
    await redis.store.sweep()

    assert await redis.counters(mine) == Counters(1, 0, 1, 0, all_of(5))


async def test_a_tally_that_was_read_over_midnight_is_read_again(redis_url: str, prefix: str) -> None:
    ledger, mine = Ledger(Clock("2026-03-11 23:59:59.999")), token()
    ledger.add(mine, "2026-03-11", Charge(microusd=100))
    read = ledger.load_tally

    async def load_tally(subject: Subject, at_ms: int) -> Tally:
        tally = await read(subject, at_ms)
        ledger.clock.advance(1)
        return tally

    ledger.load_tally = load_tally  # type: ignore[method-assign]
    store = redis_store(redis_url, prefix, ledger)
    (counters,) = await store.standing((mine,))
    await store.aclose()

    assert counters.spent == (100, 0, 100, 100)


async def test_a_recount_waits_until_nothing_is_settled_but_not_for_ever(redis: World) -> None:
    mine = token()
    redis.shared.recount_later([mine])
    redis.ledger.reads.clear()
    for _ in range(29):
        await redis.settle(await redis.acquire(mine))
        redis.clock.advance(1_000)
        await redis.store.sweep()
    assert redis.ledger.reads == [mine.id], "at its first use"
    for _ in range(3):
        await redis.settle(await redis.acquire(mine))
        redis.clock.advance(1_000)
        await redis.store.sweep()

    assert redis.ledger.reads == [mine.id] * 2


async def test_a_recount_that_is_wanted_again_and_again_is_made_in_time(redis: World) -> None:
    mine = token()
    await redis.settle(await redis.acquire(mine), microusd=900)
    redis.ledger.add(mine, "2026-03-11 12:00", Charge(microusd=-893))
    for _ in range(32):
        redis.store.corrected((mine,), redis.clock.ms, -1)
        redis.clock.advance(1_000)
        await redis.store.sweep()

    assert (await redis.counters(mine)).spent == all_of(7)


async def test_what_was_wanted_last_is_recounted_after_one_that_was_overdue(redis: World) -> None:
    mine = token()
    await redis.counters(mine)
    for _ in range(31):
        redis.shared.recount_later([mine])
        redis.clock.advance(1_000)
        await redis.store.sweep()
    redis.ledger.add(mine, "2026-03-11 12:00", Charge(microusd=5))  # late, as a ledger may be
    redis.clock.advance(LAG_MS)
    await redis.store.sweep()

    assert (await redis.counters(mine)).spent == all_of(5)
