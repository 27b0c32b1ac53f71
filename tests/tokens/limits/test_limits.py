"""Requests, rates and concurrency, on both stores."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest

from tests.tokens.limits.world import World, project, token
from tokens.limits.values import Charge, Counters, Estimate, Kind, LimitName, Limits, Subject

LIMITS = [
    ("max_requests", LimitName.REQUESTS),
    ("max_requests_per_minute", LimitName.REQUESTS_PER_MINUTE),
    ("max_concurrent_requests", LimitName.CONCURRENT_REQUESTS),
]


@pytest.mark.parametrize(("limit", "name"), LIMITS)
@pytest.mark.parametrize("limited", [token, project])
async def test_exactly_so_many_requests_pass_as_the_limit_says(
    world: World, limited: type[Subject], limit: str, name: LimitName
) -> None:
    subject = limited(**{limit: 3})

    assert await world.admitted(subject, requests=10) == 3
    reached = await world.refused(subject)
    assert (reached.name, reached.kind, reached.limit, reached.left) == (name, subject.kind, 3, 0)


@pytest.mark.parametrize(("limit", "name"), LIMITS)
@pytest.mark.parametrize(("of_token", "of_project", "kind"), [(2, 5, Kind.TOKEN), (5, 2, Kind.PROJECT)])
async def test_the_tighter_of_two_limits_stops_a_request(
    world: World, limit: str, name: LimitName, of_token: int, of_project: int, kind: Kind
) -> None:
    subjects = token(**{limit: of_token}), project(**{limit: of_project})

    assert await world.admitted(*subjects, requests=10) == 2
    reached = await world.refused(*subjects)
    assert (reached.name, reached.kind) == (name, kind)


async def test_tokens_of_one_project_share_its_limit_and_not_each_others(world: World) -> None:
    shared = project(max_requests=5)

    assert await world.admitted(token(max_requests=3), shared, requests=9) == 3
    assert await world.admitted(token(max_requests=3), shared, requests=9) == 2


async def test_a_refused_request_counts_for_none_of_its_subjects(world: World) -> None:
    free, full = token(), project(max_requests=1)
    await world.acquire(free, full, model_tokens=5, microusd=7)
    before = await world.counters(free)
    await world.refused(free, full)

    assert await world.counters(free) == before


async def test_requests_without_limits_are_never_refused(world: World) -> None:
    assert await world.admitted(requests=50) == 50
    assert await world.admitted(token(), project(), requests=50) == 50


async def test_requests_of_earlier_times_count(world: World) -> None:
    mine = token(max_requests=5)
    for _ in range(3):
        world.ledger.add(mine, "2026-01-01")

    assert await world.admitted(mine, requests=9) == 2


async def test_requests_of_the_last_minute_count_when_a_store_begins(world: World) -> None:
    mine = token(max_requests_per_minute=3, max_model_tokens_per_minute=100)
    for instant, model_tokens in (("11:58:59", 1000), ("11:59:10", 40), ("11:59:50", 30)):
        world.ledger.add(mine, f"2026-03-11 {instant}", Charge(model_tokens))
    reached = await world.refused(mine, estimate=Estimate(31))

    assert reached.retry_after_ms == 10_000
    assert await world.admitted(mine, requests=5, estimate=Estimate(1)) == 1


async def test_changed_limits_hold_from_the_next_request_on(world: World) -> None:
    mine = token(max_requests=2)
    await world.admitted(mine, requests=5)

    assert await world.admitted(replace(mine, limits=Limits(max_requests=6)), requests=9) == 4
    assert await world.admitted(mine, requests=1) == 0


async def test_waiting_does_not_help_when_all_requests_are_made(world: World) -> None:
    mine = token(max_requests=1, max_requests_per_minute=1)
    await world.acquire(mine)

    assert (await world.refused(mine)).retry_after_ms is None


async def test_a_settled_request_makes_room_for_a_concurrent_one(world: World) -> None:
    mine = token(max_concurrent_requests=2)
    first, _ = await world.acquire(mine), await world.acquire(mine)
    reached = await world.refused(mine)
    await world.settle(first)

    assert reached.is_reserved
    assert await world.admitted(mine, requests=5) == 1


async def test_the_minute_slides_so_there_is_no_double_burst_at_its_edge(world: World) -> None:
    mine = token(max_requests_per_minute=10)
    world.clock.advance_to("2026-03-11 12:00:59.900")
    assert await world.admitted(mine, requests=20) == 10
    world.clock.advance_to("2026-03-11 12:01:00.100")

    assert await world.admitted(mine, requests=20) == 0


async def test_a_request_leaves_the_minute_after_exactly_60_seconds(world: World) -> None:
    mine = token(max_requests_per_minute=1)
    await world.acquire(mine)
    world.clock.advance(59_999)
    assert (await world.refused(mine)).retry_after_ms == 1
    world.clock.advance(1)

    await world.acquire(mine)


async def test_the_wait_for_a_request_is_true_to_the_millisecond(world: World) -> None:
    mine = token(max_requests_per_minute=3)
    for gap_ms in (0, 1_700, 12_345):
        world.clock.advance(gap_ms)
        await world.acquire(mine)
    world.clock.advance(9_001)
    await _waits_exactly(world, mine, Estimate())


async def test_the_wait_for_model_tokens_is_true_to_the_millisecond(world: World) -> None:
    mine = token(max_model_tokens_per_minute=100)
    for model_tokens in (10, 20, 30, 40):
        await world.settle(await world.acquire(mine, model_tokens=model_tokens), model_tokens=model_tokens)
        world.clock.advance(1_234)
    await _waits_exactly(world, mine, Estimate(model_tokens=55))


async def test_after_a_limit_was_lowered_enough_requests_must_leave_the_minute(world: World) -> None:
    mine = token(max_requests_per_minute=3)
    for _ in range(3):
        await world.acquire(mine)
        world.clock.advance(5_000)
    await _waits_exactly(world, replace(mine, limits=Limits(max_requests_per_minute=1)), Estimate())


async def test_of_several_waits_the_longest_is_told(world: World) -> None:
    mine, shared = token(max_requests_per_minute=1), project(max_model_tokens_per_minute=10)
    await world.acquire(mine)
    world.clock.advance(5_000)
    await world.acquire(shared, model_tokens=10)
    await _waits_exactly(world, mine, shared, Estimate(model_tokens=1))


async def test_a_wait_is_found_among_many_requests_of_the_minute(world: World) -> None:
    mine = token(max_model_tokens_per_minute=450)
    for _ in range(450):
        await world.acquire(mine, model_tokens=1)
        world.clock.advance(10)
    await _waits_exactly(world, mine, Estimate(model_tokens=333))


async def _waits_exactly(world: World, *request: Subject | Estimate) -> None:
    *subjects, estimate = request
    reached = await world.refused(*subjects, estimate=estimate)
    assert reached.retry_after_ms > 1
    world.clock.advance(reached.retry_after_ms - 1)
    assert (await world.refused(*subjects, estimate=estimate)).retry_after_ms == 1
    world.clock.advance(1)
    assert await world.admitted(*subjects, requests=1, estimate=estimate) == 1


async def test_a_request_reserves_what_it_may_use_and_gives_back_what_it_has_not(world: World) -> None:
    mine = token(max_model_tokens_per_minute=100)
    lease = await world.acquire(mine, model_tokens=70)
    reached = await world.refused(mine, estimate=Estimate(model_tokens=40))
    await world.settle(lease, model_tokens=10)

    assert (reached.name, reached.left, reached.needed) == (LimitName.MODEL_TOKENS_PER_MINUTE, 30, 40)
    assert await world.admitted(mine, requests=2, estimate=Estimate(model_tokens=40)) == 2


async def test_a_request_that_used_more_than_it_said_counts_for_all_of_it(world: World) -> None:
    mine = token(max_model_tokens_per_minute=100)
    await world.settle(await world.acquire(mine, model_tokens=10), model_tokens=95)

    assert (await world.refused(mine, estimate=Estimate(model_tokens=6))).left == 5


async def test_a_correction_comes_too_late_when_the_minute_is_over(world: World) -> None:
    mine = token(max_model_tokens_per_minute=100)
    lease = await world.acquire(mine, model_tokens=60)
    world.clock.advance(60_000)
    await world.acquire(mine, model_tokens=1)
    await world.settle(lease, model_tokens=99)

    assert (await world.counters(mine)).recent_model_tokens == 1


async def test_a_request_that_is_too_large_for_any_minute_need_not_wait(world: World) -> None:
    reached = await world.refused(token(max_model_tokens_per_minute=100), estimate=Estimate(model_tokens=101))

    assert (reached.retry_after_ms, reached.needed) == (None, 101)


async def test_unstated_output_takes_all_that_is_left_of_a_minute_but_never_more(world: World) -> None:
    mine, unstated = token(max_model_tokens_per_minute=100), Estimate(10**6, is_output_stated=False)
    await world.settle(await world.acquire(mine, model_tokens=1), model_tokens=30)
    world.clock.advance(1000)
    lease = await world.store.acquire(uuid4(), (mine,), unstated)

    assert lease.model_tokens == (70,)
    reached = await world.refused(mine, estimate=unstated)
    assert (reached.needed, reached.retry_after_ms) == (1, 59_000)
    await world.settle(lease, model_tokens=50)
    assert (await world.counters(mine)).recent_model_tokens == 80
    assert await world.admitted(mine, requests=3, estimate=unstated) == 1


async def test_a_lease_tells_how_its_subjects_stood(world: World) -> None:
    mine, shared = token(), project()
    await world.acquire(shared, model_tokens=1, microusd=2)
    lease = await world.acquire(mine, shared, model_tokens=10, microusd=20)

    assert lease.counters == (
        Counters(1, 1, 1, 10, (0, 0, 0, 0), (20, 20, 20, 20)),
        Counters(2, 2, 2, 11, (0, 0, 0, 0), (22, 22, 22, 22)),
    )
    assert (lease.at_ms, lease.reserved_microusd) == (world.clock.ms, 20)


async def test_settling_twice_changes_nothing(world: World) -> None:
    mine = token(max_concurrent_requests=5)
    lease, _ = await world.acquire(mine, microusd=5), await world.acquire(mine, microusd=7)
    await world.store.settle(lease, Charge(1, 3))
    await world.store.settle(lease, Charge(1, 3))

    assert await world.counters(mine) == Counters(2, 1, 2, 1, (3, 3, 3, 3), (7, 7, 7, 7))


async def test_a_hundred_requests_at_once_pass_by_the_limit_exactly(world: World) -> None:
    subjects = token(max_requests=30), project(max_requests_per_minute=40)
    passed = await asyncio.gather(*[world.admitted(*subjects, requests=1) for _ in range(100)])

    assert sum(passed) == 30
