"""The circuit breaker, by itself."""

import pytest

from proxy.breaker import Breaker, BreakerRules, Pass, State

RULES = BreakerRules(failure_percent=50, min_requests=4, window_seconds=10, open_seconds=5)


class World:
    def __init__(self, rules: BreakerRules = RULES) -> None:
        self.changes: list[State] = []
        self.breaker = Breaker(rules, lambda breaker: self.changes.append(breaker.state))

    def ask(self, now: float, *, fails: bool) -> None:
        leave = self.breaker.admit(now)
        assert leave is not None
        (self.breaker.failed if fails else self.breaker.succeeded)(leave, now)


@pytest.fixture
def world() -> World:
    return World()


def opened() -> World:
    world = World()
    for _ in range(4):
        world.ask(0, fails=True)
    return world


def test_too_few_failures_say_nothing(world: World) -> None:
    for _ in range(3):
        world.ask(0, fails=True)
    assert world.breaker.state is State.CLOSED


def test_it_opens_at_a_rate_and_not_below(world: World) -> None:
    for _ in range(4):
        world.ask(0, fails=False)
    for _ in range(3):
        world.ask(0, fails=True)
    assert world.breaker.state is State.CLOSED
    world.ask(0, fails=True)
    assert (world.breaker.state, world.breaker.admit(0)) == (State.OPEN, None)


def test_what_is_older_than_the_window_does_not_count(world: World) -> None:
    for _ in range(3):
        world.ask(0, fails=True)
    world.ask(11, fails=True)
    assert (world.breaker.state, world.breaker.counts(11)) == (State.CLOSED, (0, 1))


def test_open_it_says_how_long_to_wait() -> None:
    breaker = opened().breaker
    assert [breaker.seconds_to_wait(now) for now in (0, 2, 4.5, 5)] == [5, 3, 1, 0]


def test_half_open_lets_one_through_until_it_is_answered() -> None:
    breaker = opened().breaker
    assert [breaker.admit(5) for _ in range(50)] == [Pass.PROBE] + [None] * 49
    assert breaker.seconds_to_wait(6) == 1
    breaker.succeeded(Pass.PROBE, 6)
    assert (breaker.state, breaker.admit(6), breaker.seconds_to_wait(6)) == (State.CLOSED, Pass.REGULAR, 0)


def test_a_probe_that_fails_opens_it_anew() -> None:
    breaker = opened().breaker
    breaker.admit(5)
    breaker.failed(Pass.PROBE, 6)
    assert (breaker.state, breaker.admit(10.9), breaker.admit(11)) == (State.OPEN, None, Pass.PROBE)


def test_a_probe_without_a_result_frees_its_place() -> None:
    breaker = opened().breaker
    breaker.admit(5)
    breaker.forget(Pass.PROBE)
    assert [breaker.admit(5), breaker.admit(5)] == [Pass.PROBE, None]


def test_results_of_before_decide_nothing_while_it_is_open() -> None:
    breaker = opened().breaker
    breaker.succeeded(Pass.REGULAR, 1)
    breaker.failed(Pass.REGULAR, 1)
    breaker.forget(Pass.REGULAR)
    assert (breaker.state, breaker.counts(1), breaker.seconds_to_wait(1)) == (State.OPEN, (0, 0), 4)


def test_each_change_is_told_once() -> None:
    world = opened()
    world.breaker.admit(5)
    world.breaker.admit(5)
    world.breaker.succeeded(Pass.PROBE, 5)
    assert world.changes == [State.OPEN, State.HALF_OPEN, State.CLOSED]


def test_without_a_rate_it_never_opens() -> None:
    world = World(BreakerRules(failure_percent=0, min_requests=1, window_seconds=10, open_seconds=5))
    for _ in range(100):
        world.ask(0, fails=True)
    assert world.breaker.state is State.CLOSED
