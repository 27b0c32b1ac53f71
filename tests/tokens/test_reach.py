"""Known tokens while the database is away."""

import asyncio

import pytest

from tests.tokens.test_directory import TTL_SECONDS, Clock, Database
from tokens import directory as directory_module
from tokens.directory import Directory, DirectoryUnavailableError
from tokens.format import digest
from tokens.reach import Reach

GRACE_SECONDS = 600.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def reach(clock: Clock) -> Reach:
    return Reach(grace_seconds=GRACE_SECONDS, clock=clock)


@pytest.fixture
def directory(database: Database, clock: Clock, reach: Reach) -> Directory:
    return Directory(
        database.load, max_tokens=10, ttl_seconds=TTL_SECONDS, reach=reach, clock=clock, wall_clock=clock
    )


async def is_refused(directory: Directory, plain: str) -> bool:
    try:
        await directory.lookup(plain)
    except DirectoryUnavailableError:
        return True
    return False


async def test_a_known_token_goes_on_for_the_grace_and_no_longer(
    directory: Directory, database: Database, clock: Clock
) -> None:
    plain = database.issue()
    await directory.lookup(plain)
    database.is_away = True
    clock.seconds += GRACE_SECONDS
    assert await directory.lookup(plain) == database.grants[digest(plain)]
    clock.seconds += 1

    assert await is_refused(directory, plain)


async def test_the_grace_begins_with_the_last_answer_whoever_got_it(
    directory: Directory, database: Database, clock: Clock, reach: Reach
) -> None:
    plain = database.issue()
    await directory.lookup(plain)
    clock.seconds += 50
    reach.answered()  # the change poller
    database.is_away = True
    clock.seconds += GRACE_SECONDS

    assert not await is_refused(directory, plain)


async def test_an_unknown_token_is_unavailable_and_not_remembered_as_unknown(
    directory: Directory, database: Database, clock: Clock
) -> None:
    database.is_away = True
    plain = database.issue()
    assert await is_refused(directory, plain)
    assert await is_refused(directory, plain)
    database.is_away = False
    clock.seconds += 1

    assert not await is_refused(directory, plain)


async def test_the_database_is_asked_once_a_second_and_nobody_with_a_known_token_waits(
    directory: Directory, database: Database, clock: Clock
) -> None:
    plain = database.issue()
    await directory.lookup(plain)
    database.is_away = True
    clock.seconds += TTL_SECONDS
    await directory.lookup(plain)  # which finds out
    database.hold()
    asked = len(database.loads)
    for _ in range(30):
        clock.seconds += 0.1
        for _ in range(10):
            await asyncio.wait_for(directory.lookup(plain), timeout=5)
    await asyncio.sleep(0)

    assert len(database.loads) == asked + 1, "the first look has no answer yet"
    database.release()


async def test_a_database_that_is_back_is_believed(
    directory: Directory, database: Database, clock: Clock, reach: Reach
) -> None:
    plain = database.issue()
    await directory.lookup(plain)
    database.is_away = True
    clock.seconds += TTL_SECONDS
    await directory.lookup(plain)
    database.is_away = False
    database.revoke(plain)
    clock.seconds += 1
    assert not (await directory.lookup(plain)).token_revoked
    while reach.is_away:
        await asyncio.sleep(0)

    assert (await directory.lookup(plain)).token_revoked


async def test_a_revocation_that_is_known_to_the_process_holds(
    directory: Directory, database: Database
) -> None:
    plain = database.issue()
    await directory.lookup(plain)
    database.is_away = True
    directory.apply(database.revoke(plain))

    assert await is_refused(directory, plain)


async def test_a_token_that_looks_idle_is_neither_dead_nor_alive_meanwhile(
    directory: Directory, database: Database, clock: Clock
) -> None:
    plain = database.issue()
    database.use(plain, idle_expires_at=clock.seconds + 100)
    await directory.lookup(plain)
    database.is_away = True
    clock.seconds += 99
    assert not await is_refused(directory, plain)
    clock.seconds += 2

    assert await is_refused(directory, plain)


async def test_a_database_that_hangs_holds_up_a_known_token_once(
    directory: Directory, database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch, reach: Reach
) -> None:
    monkeypatch.setattr(directory_module, "PATIENCE_WITH_KNOWN_SECONDS", 0.01)
    plain = database.issue()
    await directory.lookup(plain)
    clock.seconds += TTL_SECONDS
    database.hold()
    await directory.lookup(plain)

    assert reach.is_away
    await directory.lookup(plain)
    database.release()


async def test_a_database_that_hangs_is_unavailable_to_unknown_tokens(
    directory: Directory, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_module, "PATIENCE_SECONDS", 0.01)
    database.hold()
    plain = database.issue()

    assert await is_refused(directory, plain)
    database.release()


async def test_without_an_answer_ever_there_is_no_grace(clock: Clock) -> None:
    assert not Reach(grace_seconds=GRACE_SECONDS, clock=clock).is_in_grace
