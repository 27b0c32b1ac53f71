"""What only the store in memory does: it keeps a bounded number of accounts and forgets none too early."""

from uuid import uuid4

import pytest

from tests.tokens.limits.world import Clock, World, all_of, memory_world, token
from tokens.limits.memory import MemoryStore
from tokens.limits.values import NOTHING, Charge, Counters, Lease, LimitsUnavailableError, Subject, Tally


async def used(world: World, subject: Subject) -> Lease:
    """One request, ended and in the ledger."""
    lease = await world.acquire(subject)
    await world.settle(lease)
    world.store.written({subject.id: 1})
    return lease


async def forgotten(world: World, subjects: list[Subject]) -> list[Subject]:
    """Those whose account is built from the ledger when they are looked at, the one used last first."""
    gone = []
    for subject in reversed(subjects):
        reads = len(world.ledger.reads)
        await world.counters(subject)
        if len(world.ledger.reads) > reads:
            gone.append(subject)
    return gone


async def test_an_account_is_kept_while_some_of_it_is_unwritten() -> None:
    world, mine = memory_world(max_accounts=1), token(max_requests=2)
    for _ in range(2):
        await world.store.settle(await world.acquire(mine), Charge())
    world.store.written({mine.id: 1})
    for _ in range(10):
        await used(world, token())

    assert await world.admitted(mine, requests=5) == 0


async def test_an_account_is_kept_while_a_request_of_it_runs() -> None:
    world, mine = memory_world(max_accounts=1), token(max_concurrent_requests=1)
    await world.acquire(mine)
    world.store.written({mine.id: 1})
    for _ in range(10):
        await used(world, token())

    assert (await world.counters(mine)).active == 1


async def test_a_written_account_is_forgotten_when_room_is_needed_and_built_anew() -> None:
    world, mine = memory_world(max_accounts=1), token(max_requests=3)
    await used(world, mine)
    await used(world, token())

    assert await world.admitted(mine, requests=9) == 2
    assert world.ledger.reads.count(mine.id) == 2


async def test_writing_gives_no_requests_back() -> None:
    world, mine = memory_world(max_accounts=10), token(max_requests=5)
    await world.admitted(mine, requests=5)
    world.store.written({mine.id: 5, uuid4(): 3})

    assert await world.admitted(mine, requests=5) == 0


async def test_an_account_that_is_used_again_is_kept_before_one_that_is_not() -> None:
    world, first, second = memory_world(max_accounts=2), token(), token()
    for subject in (first, second, first, token()):
        await used(world, subject)

    assert await forgotten(world, [first]) == []


async def test_no_more_accounts_are_kept_than_permitted_and_they_are_those_used_last() -> None:
    world, tokens = memory_world(max_accounts=10), [token() for _ in range(100)]
    for subject in tokens:
        await used(world, subject)

    assert await forgotten(world, tokens[-10:]) == []
    assert await forgotten(world, tokens[:3]) == tokens[2::-1]


async def test_accounts_come_back_to_their_number_after_the_ledger_has_caught_up() -> None:
    world, tokens = memory_world(max_accounts=10), [token() for _ in range(100)]
    for subject in tokens:
        await world.settle(await world.acquire(subject))
    world.store.written({subject.id: 1 for subject in tokens})
    for subject in tokens:
        await used(world, subject)

    assert len(await forgotten(world, tokens)) >= 90


async def test_one_request_that_takes_long_does_not_keep_other_accounts_from_being_forgotten() -> None:
    world, long_lived = memory_world(max_accounts=10), token(max_requests=1)
    await world.acquire(long_lived)
    tokens = [token() for _ in range(50)]
    for subject in tokens:
        await used(world, subject)

    assert await world.admitted(long_lived, requests=1) == 0
    assert len(await forgotten(world, tokens)) >= 40


async def test_a_tally_that_was_read_over_midnight_is_read_again() -> None:
    clock = Clock("2026-03-11 23:59:59.999")
    mine = token(budgets=(None, 100, None, None))

    async def load_tally(subject: Subject, at_ms: int) -> Tally:
        spent = 100 if at_ms < Clock("2026-03-12 00:00").ms else 0
        clock.advance(1)
        return Tally(spent=(spent, spent, spent, spent))

    store = MemoryStore(load_tally, max_accounts=10, clock=clock)

    assert (await store.standing((mine,)))[0].spent == (0, 0, 0, 0)


async def test_a_ledger_that_does_not_answer_makes_the_limits_unavailable_and_counts_nothing() -> None:
    is_away = True

    async def load_tally(subject: Subject, at_ms: int) -> Tally:
        if is_away:
            raise LimitsUnavailableError
        return Tally()

    store, mine = MemoryStore(load_tally, max_accounts=10), token()
    with pytest.raises(LimitsUnavailableError):
        await store.acquire(uuid4(), (mine,), NOTHING)
    is_away = False

    assert await store.standing((mine,)) == (Counters(),)


async def test_what_the_ledger_corrects_counts_in_the_periods_of_its_request() -> None:
    world, mine = memory_world(), token(budgets=(1000, 1000, None, None))
    lease = await world.acquire(mine)
    await world.store.settle(lease, Charge(microusd=900))
    world.store.corrected((mine, token()), lease.at_ms, -890)
    assert (await world.counters(mine)).spent[:2] == (10, 10)

    world.store.corrected((mine,), lease.at_ms - 86_400_000, 5)
    assert (await world.counters(mine)).spent[:2] == (15, 10)
    world.store.corrected((mine,), lease.at_ms, -100)
    assert (await world.counters(mine)).spent[:2] == (0, 0)


async def test_a_correction_that_comes_while_an_account_is_read_is_not_missed() -> None:
    world, mine = memory_world(), token()
    world.ledger.add(mine, "2026-03-11 12:00", Charge(microusd=900))
    read = world.ledger.load_tally

    async def load_tally(subject: Subject, at_ms: int) -> Tally:
        tally = await read(subject, at_ms)
        if len(world.ledger.reads) == 1:
            world.ledger.add(mine, "2026-03-11 12:00", Charge(microusd=-893))
            world.store.corrected((mine,), world.clock.ms, -893)
        return tally

    world.store._tallies._load_tally = load_tally  # type: ignore[attr-defined]

    assert (await world.counters(mine)).spent == all_of(7)
