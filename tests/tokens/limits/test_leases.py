"""What running requests hold: kept by renewing, given back when nobody does. On both stores."""

import pytest

from tests.tokens.limits.world import LEASE_MS, World, all_of, project, token
from tokens.limits.values import Charge, Counters, Estimate

ZERO = (0, 0, 0, 0)


async def test_what_a_dead_owner_holds_is_given_back_when_its_lease_ends(world: World) -> None:
    mine = token(max_concurrent_requests=1, budgets=(100, None, None, None))
    await world.acquire(mine, microusd=100)
    world.clock.advance(LEASE_MS - 1)
    assert await world.store.sweep() == 0
    await world.refused(mine, estimate=Estimate(microusd=1))
    world.clock.advance(1)

    assert await world.store.sweep() == 1
    assert await world.counters(mine) == Counters(requests=1, recent_requests=1)
    assert await world.admitted(mine, requests=1, estimate=Estimate(microusd=100)) == 1


async def test_a_renewed_lease_is_kept(world: World) -> None:
    mine = token()
    lease = await world.acquire(mine, microusd=7)
    for _ in range(5):
        world.clock.advance(LEASE_MS - 1)
        assert await world.store.renew([lease]) == []
        assert await world.store.sweep() == 0

    counters = await world.counters(mine)
    assert (counters.requests, counters.active, counters.reserved) == (1, 1, all_of(7))


async def test_a_request_that_ends_after_its_lease_is_charged_all_the_same(world: World) -> None:
    mine = token()
    lease = await world.acquire(mine, model_tokens=50, microusd=70)
    world.clock.advance(LEASE_MS)
    await world.store.sweep()
    await world.settle(lease, model_tokens=5, microusd=60)

    assert await world.counters(mine) == Counters(1, 0, 1, 5, all_of(60), ZERO)


async def test_a_lease_that_ran_out_while_its_request_went_on_comes_back(world: World) -> None:
    mine, shared = token(), project()
    lease = await world.acquire(mine, shared, model_tokens=50, microusd=70)
    world.clock.advance(LEASE_MS)
    await world.store.sweep()
    await world.store.renew([lease])

    for subject in (mine, shared):
        assert await world.counters(subject) == Counters(1, 1, 1, 50, ZERO, all_of(70))
    await world.settle(lease, model_tokens=5, microusd=60)
    for subject in (mine, shared):
        assert await world.counters(subject) == Counters(1, 0, 1, 5, all_of(60), ZERO)


async def test_a_settled_request_cannot_be_renewed(world: World) -> None:
    mine = token()
    lease = await world.acquire(mine, microusd=7)
    await world.settle(lease, microusd=7)
    lease.used_microusd = 100

    assert await world.store.renew([lease]) == []
    assert await world.counters(mine) == Counters(1, 0, 1, 0, all_of(7), ZERO)


async def test_renewing_nothing_is_harmless(world: World) -> None:
    assert await world.store.renew([]) == []
    assert await world.store.renew([await world.acquire()]) == []


async def test_what_a_request_uses_beyond_its_estimate_is_reserved_once(world: World) -> None:
    mine = token(budgets=(100, None, None, None))
    lease = await world.acquire(mine, microusd=10)
    for used in (5, 40, 40, 30):
        lease.used_microusd = used
        await world.store.renew([lease])

    assert (await world.counters(mine)).reserved == all_of(40)
    assert lease.reserved_microusd == 40
    await world.settle(lease, microusd=40)
    assert (await world.counters(mine)).reserved == ZERO


async def test_a_request_that_outgrows_the_budget_is_named(world: World) -> None:
    mine, shared = token(), project(budgets=(None, 100, None, None))
    small = await world.acquire(mine, shared, microusd=10)
    large = await world.acquire(mine, shared, microusd=80)
    large.used_microusd = 90
    assert await world.store.renew([small, large]) == []
    large.used_microusd = 91

    assert await world.store.renew([small, large]) == [large], "the other one keeps to its estimate"


async def test_all_requests_are_named_when_the_budget_is_spent(world: World) -> None:
    mine = token(budgets=(100, None, None, None))
    first, second = await world.acquire(mine, microusd=10), await world.acquire(mine, microusd=10)
    await world.settle(await world.acquire(mine, microusd=10), microusd=100)

    assert await world.store.renew([first, second]) == [first, second]


async def test_a_request_that_began_yesterday_is_not_stopped_by_todays_budget(world: World) -> None:
    mine = token(budgets=(None, 100, None, None))
    world.clock.advance_to("2026-03-11 23:59:59")
    lease = await world.acquire(mine, microusd=10)
    world.clock.advance_to("2026-03-12 00:00:01")
    await world.settle(await world.acquire(mine, microusd=100), microusd=100)
    lease.used_microusd = 500

    assert await world.store.renew([lease]) == []
    counters = await world.counters(mine)
    assert (counters.spent, counters.reserved) == ((100, 100, 100, 100), (500, 0, 500, 500))


async def test_a_lowered_budget_stops_what_runs(world: World) -> None:
    mine = token(budgets=(100, None, None, None))
    lease = await world.acquire(mine, microusd=10)
    await world.settle(await world.acquire(mine, microusd=10), microusd=10)
    lease.subjects = (token(mine.id, budgets=(5, None, None, None)),)

    assert await world.store.renew([lease]) == [lease]


async def test_more_leases_than_one_step_takes_are_all_renewed_and_swept(world: World) -> None:
    mine = token()
    leases = [await world.acquire(mine) for _ in range(250)]
    world.clock.advance(LEASE_MS - 1)
    await world.store.renew(leases)
    world.clock.advance(LEASE_MS - 1)
    assert await world.store.sweep() == 0
    world.clock.advance(1)
    swept = [await world.store.sweep() for _ in range(4)]

    assert sum(swept) == 250
    assert (await world.counters(mine)).active == 0


@pytest.mark.parametrize("microusd", [0, 3])
async def test_a_request_that_did_nothing_leaves_only_its_number(world: World, microusd: int) -> None:
    mine = token()
    lease = await world.acquire(mine, model_tokens=10, microusd=microusd)
    await world.store.settle(lease, Charge())

    assert await world.counters(mine) == Counters(requests=1, recent_requests=1)
