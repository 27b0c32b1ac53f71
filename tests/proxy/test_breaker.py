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


def probing(breaker: Breaker, now: float) -> Pass:
    probe = breaker.admit(now)
    assert probe is not None
    return probe


def test_half_open_lets_one_through_until_it_is_answered() -> None:
    breaker = opened().breaker
    probe = probing(breaker, 5)
    assert [breaker.admit(5) for _ in range(50)] == [None] * 50
    assert breaker.seconds_to_wait(6) == 1
    breaker.succeeded(probe, 6)
    assert (breaker.state, breaker.seconds_to_wait(6)) == (State.CLOSED, 0)
    assert None not in [breaker.admit(6) for _ in range(50)]


def test_a_probe_that_fails_opens_it_anew() -> None:
    breaker = opened().breaker
    breaker.failed(probing(breaker, 5), 6)
    assert (breaker.state, breaker.admit(10.9)) == (State.OPEN, None)
    probing(breaker, 11)


def test_a_probe_without_a_result_frees_its_place() -> None:
    breaker = opened().breaker
    breaker.forget(probing(breaker, 5))
    probing(breaker, 5)
    assert breaker.admit(5) is None


def test_a_probe_that_takes_long_stands_in_nobodys_way() -> None:
    breaker = opened().breaker
    slow = probing(breaker, 5)
    assert (breaker.admit(9.9), breaker.seconds_to_wait(10)) == (None, 0)
    probing(breaker, 10)
    breaker.forget(slow)
    assert breaker.admit(10) is None  # the second one's place is not the first one's to give back


@pytest.mark.parametrize("fails", [False, True])
def test_a_probe_that_took_long_counts_while_no_other_has_a_result(fails: bool) -> None:
    breaker = opened().breaker
    slow = probing(breaker, 5)
    probing(breaker, 10)
    (breaker.failed if fails else breaker.succeeded)(slow, 11)
    assert breaker.state is (State.OPEN if fails else State.CLOSED)


def test_what_was_asked_before_the_outage_opens_nothing_after_it() -> None:
    breaker = World().breaker
    late = [probing(breaker, 0) for _ in range(4)]
    for _ in range(4):
        breaker.failed(probing(breaker, 0), 0)
    slow, quick = probing(breaker, 5), probing(breaker, 10)
    breaker.succeeded(quick, 10)
    for leave in (*late, slow):
        breaker.failed(leave, 11)
    assert (breaker.state, breaker.counts(11)) == (State.CLOSED, (0, 0))


def test_results_of_before_decide_nothing_while_it_is_open() -> None:
    world = World()
    late = [probing(world.breaker, 0) for _ in range(3)]
    for _ in range(4):
        world.ask(0, fails=True)
    breaker = world.breaker
    breaker.succeeded(late[0], 1)
    breaker.failed(late[1], 1)
    breaker.forget(late[2])
    assert (breaker.state, breaker.counts(1), breaker.seconds_to_wait(1)) == (State.OPEN, (0, 0), 4)


def test_each_change_is_told_once() -> None:
    world = opened()
    probe = probing(world.breaker, 5)
    world.breaker.admit(5)
    world.breaker.succeeded(probe, 5)
    assert world.changes == [State.OPEN, State.HALF_OPEN, State.CLOSED]


def test_without_a_rate_it_never_opens() -> None:
    world = World(BreakerRules(failure_percent=0, min_requests=1, window_seconds=10, open_seconds=5))
    for _ in range(100):
        world.ask(0, fails=True)
    assert world.breaker.state is State.CLOSED
