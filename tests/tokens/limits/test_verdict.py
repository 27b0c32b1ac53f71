"""Which of several reasons a refusal names."""

from dataclasses import replace

from tests.tokens.limits.world import Clock, project, token
from tokens.limits.periods import Window
from tokens.limits.values import Counters, Estimate, Kind, LimitName, LimitReachedError, Subject
from tokens.limits.verdict import Waits, refusal

MIDNIGHT_IN_1_MS = Clock("2026-03-11 23:59:59.999").ms
NO_WAIT = Waits()


def refused(
    subject: Subject,
    counters: Counters,
    waits: Waits = NO_WAIT,
    estimate: Estimate = Estimate(),  # noqa: B008
    now_ms: int = Clock().ms,
) -> LimitReachedError | None:
    return refusal((subject,), (counters,), (waits,), estimate, now_ms)


def test_what_fits_is_not_refused() -> None:
    mine = token(max_requests=2, max_requests_per_minute=2, budgets=(10, 10, 10, 10))

    assert refused(mine, Counters(requests=1, recent_requests=1), estimate=Estimate(5, 10)) is None


def test_what_waiting_does_not_cure_is_named_before_what_it_does() -> None:
    mine = token(max_requests=1, max_requests_per_minute=1, budgets=(None, 1, None, None))
    reached = refused(mine, Counters(1, 0, 1, spent=(1, 1, 1, 1)), Waits(requests_ms=60_000))

    assert (reached.name, reached.retry_after_ms) == (LimitName.REQUESTS, None)


def test_of_two_budgets_the_one_that_resets_last_is_named() -> None:
    mine = token(budgets=(None, 5, None, 5))

    assert refused(mine, Counters(spent=(5, 5, 5, 5))).window is Window.MONTHLY


def test_a_rate_is_named_if_it_takes_longer_than_the_budget() -> None:
    mine = token(max_requests_per_minute=1, budgets=(None, 5, None, None))
    counters = Counters(recent_requests=1, spent=(5, 5, 5, 5))
    reached = refused(mine, counters, Waits(requests_ms=30_000), now_ms=MIDNIGHT_IN_1_MS)

    assert (reached.name, reached.retry_after_ms) == (LimitName.REQUESTS_PER_MINUTE, 30_000)


def test_the_subject_is_named_whose_limit_is_reached() -> None:
    subjects = token(max_concurrent_requests=2), project(max_concurrent_requests=1)
    running = Counters(active=1)
    reached = refusal(subjects, (running, running), (NO_WAIT, NO_WAIT), Estimate(), 0)

    assert reached.kind is Kind.PROJECT


def test_what_is_left_of_a_budget_is_without_what_is_reserved() -> None:
    mine, counters = token(budgets=(100, None, None, None)), Counters(spent=(30,) * 4, reserved=(50,) * 4)
    reached = refused(mine, counters, estimate=Estimate(microusd=21))
    later = refused(mine, replace(counters, spent=(80,) * 4), estimate=Estimate(microusd=21))

    assert (reached.left, reached.is_reserved) == (20, True)
    assert (later.left, later.is_reserved) == (0, False)
