"""Which refusals become events."""

import pytest

from audit.refusals import MAX_CLIENTS, MOST_AT_ONCE, QUIET_SECONDS, Refusals
from tests.clock import Clock

KEY = "api_key.refused"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def refusals(clock: Clock) -> Refusals:
    return Refusals(clock)


def test_the_first_is_told_at_once_and_those_that_follow_with_the_next(
    clock: Clock, refusals: Refusals
) -> None:
    assert [refusals.due(KEY, "192.0.2.1") for _ in range(5)] == [1, 0, 0, 0, 0]
    clock.now += QUIET_SECONDS
    assert [refusals.due(KEY, "192.0.2.1") for _ in range(2)] == [5, 0]


def test_others_and_other_acts_are_told_beside(refusals: Refusals) -> None:
    assert refusals.due(KEY, "192.0.2.1") == 1
    assert refusals.due(KEY, "192.0.2.2") == 1
    assert refusals.due("user.sign_in_failed", "192.0.2.1") == 1


def test_however_many_try_few_are_told(clock: Clock, refusals: Refusals) -> None:
    told = [refusals.due(KEY, str(number)) for number in range(10_000)]
    assert sum(told) == MOST_AT_ONCE
    clock.now += 3600
    told = [refusals.due(KEY, f"again {number}") for number in range(10_000)]
    assert sum(told) == 60
    assert refusals.due("user.sign_in_failed", "192.0.2.1") == 1


def test_who_could_not_be_told_of_is_told_of_later(clock: Clock, refusals: Refusals) -> None:
    for number in range(MOST_AT_ONCE):
        refusals.due(KEY, str(number))
    assert [refusals.due(KEY, "192.0.2.1") for _ in range(3)] == [0, 0, 0]
    clock.now += 61
    assert refusals.due(KEY, "192.0.2.1") == 4


def test_memory_is_bounded(refusals: Refusals) -> None:
    for number in range(MAX_CLIENTS + 100):
        refusals.due(KEY, str(number))
    assert len(refusals._clients) == MAX_CLIENTS
