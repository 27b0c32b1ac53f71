"""Budgets of the four windows, on both stores. 2026-03-11 is a Wednesday."""

from uuid import uuid4

import pytest

from tests.tokens.limits.world import World, project, token
from tokens.limits.periods import WINDOWS, Window
from tokens.limits.values import Charge, Estimate, Kind, LimitName, Subject

NINE_THOUSAND_MILLION_USD = 9 * 10**15
DAY_MS = 86_400_000


def with_budget(window: Window, microusd: int) -> Subject:
    return token(budgets=tuple(microusd if each is window else None for each in WINDOWS))


@pytest.mark.parametrize("window", WINDOWS)
async def test_a_budget_admits_what_fits_and_no_more(world: World, window: Window) -> None:
    mine = with_budget(window, 100)
    await world.settle(await world.acquire(mine, microusd=60), microusd=60)
    reached = await world.refused(mine, estimate=Estimate(microusd=41))

    assert (reached.name, reached.window, reached.left, reached.needed) == (LimitName.BUDGET, window, 40, 41)
    assert not reached.is_reserved
    assert await world.admitted(mine, requests=1, estimate=Estimate(microusd=40)) == 1


async def test_the_tighter_budget_stops_a_request(world: World) -> None:
    mine, shared = token(budgets=(500, 100, None, None)), project(budgets=(50, None, None, None))
    reached = await world.refused(mine, shared, estimate=Estimate(microusd=60))

    assert (reached.kind, reached.limit) == (Kind.PROJECT, 50)


async def test_what_running_requests_may_cost_is_reserved(world: World) -> None:
    mine = with_budget(Window.TOTAL, 100)
    lease = await world.acquire(mine, microusd=80)
    reached = await world.refused(mine, estimate=Estimate(microusd=30))
    await world.settle(lease, microusd=5)

    assert reached.is_reserved
    assert reached.retry_after_ms == 1000
    assert await world.admitted(mine, requests=9, estimate=Estimate(microusd=30)) == 3


async def test_a_used_up_budget_refuses_even_what_is_free(world: World) -> None:
    mine = with_budget(Window.TOTAL, 100)
    await world.settle(await world.acquire(mine, microusd=10), microusd=130)
    reached = await world.refused(mine)

    assert (reached.left, reached.retry_after_ms) == (0, None)


async def test_a_request_that_costs_more_than_any_period_has_need_not_wait(world: World) -> None:
    reached = await world.refused(with_budget(Window.DAILY, 100), estimate=Estimate(microusd=101))

    assert reached.retry_after_ms is None


@pytest.mark.parametrize(
    ("window", "last_ms", "next_ms"),
    [
        (Window.DAILY, "2026-03-11 23:59:59.999", "2026-03-12 00:00"),
        (Window.WEEKLY, "2026-03-15 23:59:59.999", "2026-03-16 00:00"),
        (Window.MONTHLY, "2026-03-31 23:59:59.999", "2026-04-01 00:00"),
    ],
)
async def test_a_budget_begins_anew_with_its_period(
    world: World, window: Window, last_ms: str, next_ms: str
) -> None:
    mine = with_budget(window, 100)
    await world.settle(await world.acquire(mine, microusd=100), microusd=100)
    world.clock.advance_to(last_ms)
    reached = await world.refused(mine, estimate=Estimate(microusd=1))
    world.clock.advance_to(next_ms)

    assert reached.retry_after_ms == 1
    assert await world.admitted(mine, requests=9, estimate=Estimate(microusd=50)) == 2


async def test_the_total_budget_never_begins_anew(world: World) -> None:
    mine = with_budget(Window.TOTAL, 100)
    await world.settle(await world.acquire(mine, microusd=100), microusd=100)
    world.clock.advance(1000 * DAY_MS)

    assert (await world.refused(mine)).retry_after_ms is None


async def test_a_request_that_began_before_midnight_is_yesterdays(world: World) -> None:
    mine = token(budgets=(1000, 100, None, None))
    world.clock.advance_to("2026-03-11 23:59:59")
    lease = await world.acquire(mine, microusd=90)
    world.clock.advance_to("2026-03-12 00:00:01")
    today = await world.acquire(mine, microusd=100)
    await world.settle(lease, microusd=90)
    counters = await world.counters(mine)
    await world.settle(today, microusd=100)

    assert counters.spent == (90, 0, 90, 90)
    assert counters.reserved == (100, 100, 100, 100)
    assert (await world.counters(mine)).spent == (190, 100, 190, 190)


async def test_what_the_ledger_knows_to_be_spent_counts_in_its_periods(world: World) -> None:
    mine = token(budgets=(100, 100, 100, 100))
    for day, microusd in (("2026-02-28", 1), ("2026-03-08", 10), ("2026-03-10", 20), ("2026-03-11", 40)):
        world.ledger.add(mine, day, Charge(microusd=microusd))

    assert (await world.counters(mine)).spent == (71, 40, 60, 70)
    assert (await world.refused(mine, estimate=Estimate(microusd=30))).window is Window.TOTAL


async def test_the_ledger_is_summed_at_the_instant_of_the_store_whatever_other_clocks_say(
    world: World,
) -> None:
    mine = with_budget(Window.DAILY, 100)
    world.ledger.add(mine, "2026-03-11 23:59:59.999", Charge(microusd=100))
    world.clock.advance_to("2026-03-12 00:00")

    assert (await world.counters(mine)).spent == (100, 0, 100, 100)


async def test_money_is_exact_up_to_nine_thousand_million_dollars(world: World) -> None:
    mine = with_budget(Window.TOTAL, NINE_THOUSAND_MILLION_USD)
    spent = 0
    for _ in range(9):
        charge = 10**15 - 1
        await world.settle(await world.acquire(mine, microusd=charge), microusd=charge)
        spent += charge
    counters = await world.counters(mine)
    reached = await world.refused(mine, estimate=Estimate(microusd=10))

    assert counters.spent == (spent, spent, spent, spent)
    assert reached.left == 9
    assert await world.admitted(mine, requests=2, estimate=Estimate(microusd=9)) == 1
    assert (await world.counters(mine)).reserved[0] == 9


async def test_very_many_model_tokens_leave_the_minute_as_they_came(world: World) -> None:
    mine = token()
    await world.acquire(mine, model_tokens=10**15)
    world.clock.advance(30_000)
    await world.acquire(mine, model_tokens=7)
    world.clock.advance(30_000)

    assert (await world.counters(mine)).recent_model_tokens == 7


async def test_an_absurd_estimate_is_refused_by_any_budget_and_leaves_no_trace(world: World) -> None:
    absurd = Estimate(10**40, 10**40)
    assert (await world.refused(with_budget(Window.TOTAL, 10**12), estimate=absurd)).retry_after_ms is None
    free = token()
    for lease in [await world.store.acquire(uuid4(), (free,), absurd) for _ in range(3)]:
        await world.settle(lease, model_tokens=1, microusd=1)

    assert (await world.counters(free)).reserved == (0, 0, 0, 0)
    assert (await world.counters(free)).recent_model_tokens == 3
