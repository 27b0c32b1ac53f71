import asyncio
from collections import Counter
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, TypeVar
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from uuid_utils.compat import uuid7

from tests.grants import make_grant
from tokens.directory import (
    MAX_LOADS,
    UNKNOWN_TTL_SECONDS,
    Changes,
    Directory,
    DirectoryUnavailableError,
    UnknownTokenError,
)
from tokens.format import digest, generate
from tokens.grant import Grant

TTL_SECONDS = 60.0

T = TypeVar("T")


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Database:
    """What `load` reads. It can be slow (`hold`, `release`) and it can be away."""

    def __init__(self) -> None:
        self.grants: dict[str, Grant] = {}
        self.loads: list[str] = []
        self.is_away = False
        self.asked = asyncio.Event()
        self._free = asyncio.Event()
        self._free.set()

    def issue(self, project_id: UUID | None = None) -> str:
        """A new token: its plain text."""
        token_id, plain = generate()
        self.put(plain, token_id, project_id or uuid7())
        return plain

    def put(self, plain: str, token_id: UUID, project_id: UUID, *, revoked: bool = False) -> None:
        self.grants[digest(plain)] = make_grant(
            token_id=token_id,
            project_id=project_id,
            digest=digest(plain),
            token_active=not revoked,
            token_revoked=revoked,
        )

    def use(self, plain: str, *, idle_expires_at: float) -> None:
        """Another process has used it: it becomes idle at that instant only."""
        of = digest(plain)
        self.grants[of] = replace(self.grants[of], idle_expires_at=idle_expires_at)

    def revoke(self, plain: str) -> Changes:
        """The change as the poller would tell it."""
        grant = self.grants[digest(plain)]
        self.put(plain, grant.token_id, grant.project_id, revoked=True)
        return Changes(token_ids=frozenset({grant.token_id}), digests=frozenset({digest(plain)}))

    def hold(self) -> None:
        self._free.clear()

    def release(self) -> None:
        self._free.set()

    async def load(self, of: str) -> Grant | None:
        self.loads.append(of)
        grant = self.grants.get(of)
        self.asked.set()
        await self._free.wait()
        if self.is_away:
            raise DirectoryUnavailableError
        return grant


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def directory(database: Database, clock: Clock) -> Directory:
    return Directory(database.load, max_tokens=100, ttl_seconds=TTL_SECONDS, clock=clock, wall_clock=clock)


async def refused(directory: Directory, plain: str) -> bool:
    try:
        await directory.lookup(plain)
    except UnknownTokenError:
        return True
    return False


async def test_token_is_read_from_the_database_once(directory: Directory, database: Database) -> None:
    plain = database.issue()
    found = [await directory.lookup(plain) for _ in range(3)]
    assert found == [database.grants[digest(plain)]] * 3
    assert database.loads == [digest(plain)]


@pytest.mark.parametrize("text", ["", "sk-proj-0123456789", "Bearer", "sk-wt-" + "0" * 55, "ü" * 61])
async def test_malformed_token_is_refused_without_a_query(
    directory: Directory, database: Database, text: str
) -> None:
    with pytest.raises(UnknownTokenError):
        await directory.lookup(text)
    assert database.loads == []


async def test_token_that_looks_idle_is_read_again_for_it_may_have_been_used(
    directory: Directory, database: Database, clock: Clock
) -> None:
    plain = database.issue()
    database.use(plain, idle_expires_at=1010)
    assert (await directory.lookup(plain)).idle_expires_at == 1010
    clock.seconds += 5
    database.use(plain, idle_expires_at=1030)
    assert (await directory.lookup(plain)).idle_expires_at == 1010  # not idle yet: from memory
    clock.seconds += 6
    assert (await directory.lookup(plain)).idle_expires_at == 1030
    assert len(database.loads) == 2


async def test_idle_token_costs_a_query_a_second_at_the_most(
    directory: Directory, database: Database, clock: Clock
) -> None:
    plain = database.issue()
    database.use(plain, idle_expires_at=clock.seconds - 1)
    for _ in range(20):
        await directory.lookup(plain)
        clock.seconds += 0.1
    assert len(database.loads) == 2


async def test_revoked_token_is_found_as_such(directory: Directory, database: Database) -> None:
    plain = database.issue()
    database.revoke(plain)
    grant = await directory.lookup(plain)
    assert grant.token_revoked


async def test_unknown_token_is_asked_for_once_in_its_time(
    directory: Directory, database: Database, clock: Clock
) -> None:
    _, plain = generate()
    assert await refused(directory, plain)
    clock.seconds += UNKNOWN_TTL_SECONDS - 0.1
    assert await refused(directory, plain)
    assert len(database.loads) == 1
    clock.seconds += 0.1
    assert await refused(directory, plain)
    assert len(database.loads) == 2


async def test_token_is_read_again_after_its_time(
    directory: Directory, database: Database, clock: Clock
) -> None:
    plain = database.issue()
    await directory.lookup(plain)
    database.revoke(plain)
    clock.seconds += TTL_SECONDS - 0.1
    assert not (await directory.lookup(plain)).token_revoked
    clock.seconds += 0.1
    assert (await directory.lookup(plain)).token_revoked


async def test_use_does_not_lengthen_the_time_of_a_token(
    directory: Directory, database: Database, clock: Clock
) -> None:
    plain = database.issue()
    for _ in range(4):
        await directory.lookup(plain)
        clock.seconds += TTL_SECONDS / 3
    assert len(database.loads) == 2


async def test_thousand_requests_with_one_new_token_ask_the_database_once(
    directory: Directory, database: Database
) -> None:
    plain = database.issue()
    found = await asyncio.gather(*(directory.lookup(plain) for _ in range(1000)))
    assert found == [database.grants[digest(plain)]] * 1000
    assert len(database.loads) == 1


async def test_thousand_guesses_of_one_unknown_token_ask_the_database_once(
    directory: Directory, database: Database
) -> None:
    _, plain = generate()
    assert all(await asyncio.gather(*(refused(directory, plain) for _ in range(1000))))
    assert len(database.loads) == 1


async def test_client_that_hangs_up_does_not_take_the_load_from_others(
    directory: Directory, database: Database
) -> None:
    plain = database.issue()
    database.hold()
    leaving = asyncio.create_task(directory.lookup(plain))
    staying = asyncio.create_task(directory.lookup(plain))
    await database.asked.wait()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    database.release()
    assert await staying == database.grants[digest(plain)]
    assert len(database.loads) == 1


async def test_client_that_hangs_up_alone_leaves_the_token_known(
    directory: Directory, database: Database
) -> None:
    plain = database.issue()
    database.hold()
    leaving = asyncio.create_task(directory.lookup(plain))
    await database.asked.wait()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    database.release()
    await directory.lookup(plain)
    assert len(database.loads) == 1


async def test_full_directory_drops_the_token_that_would_die_first(database: Database, clock: Clock) -> None:
    directory = Directory(database.load, max_tokens=3, ttl_seconds=TTL_SECONDS, clock=clock)
    plains = [database.issue() for _ in range(4)]
    for plain in [*plains[:3], plains[0], plains[3]]:
        await directory.lookup(plain)
        clock.seconds += 1
    database.loads.clear()
    for plain in plains[1:]:
        await directory.lookup(plain)
    assert database.loads == []
    await directory.lookup(plains[0])
    assert database.loads == [digest(plains[0])]


async def test_token_that_was_read_again_is_no_longer_the_first_to_go(
    database: Database, clock: Clock
) -> None:
    directory = Directory(database.load, max_tokens=3, ttl_seconds=TTL_SECONDS, clock=clock)
    again, oldest, other, newest = (database.issue() for _ in range(4))
    for plain in (again, oldest, other, again, newest):
        directory.apply(database.revoke(plain))
        await directory.lookup(plain)
        clock.seconds += 1
    database.loads.clear()
    for plain in (again, other, newest):
        await directory.lookup(plain)
    assert database.loads == []


@pytest.mark.parametrize("changes", range(60, 80))
async def test_many_changes_of_one_token_do_not_alter_which_is_dropped(
    database: Database, clock: Clock, changes: int
) -> None:
    directory = Directory(database.load, max_tokens=3, ttl_seconds=TTL_SECONDS, clock=clock)
    oldest, second, changing, newest = (database.issue() for _ in range(4))
    for plain in (oldest, second, *[changing] * changes, newest):
        directory.apply(database.revoke(plain))
        await directory.lookup(plain)
        clock.seconds += 0.01
    database.loads.clear()
    for plain in (second, changing, newest):
        await directory.lookup(plain)
    assert database.loads == []


async def test_directory_never_holds_more_than_it_may(database: Database, clock: Clock) -> None:
    directory = Directory(database.load, max_tokens=10, ttl_seconds=TTL_SECONDS, clock=clock)
    sizes = []
    for _ in range(200):
        await directory.lookup(database.issue())
        sizes.append(len(directory))
    assert max(sizes) == sizes[-1] == 10


async def test_guesses_do_not_push_tokens_out(database: Database, clock: Clock) -> None:
    directory = Directory(database.load, max_tokens=3, ttl_seconds=TTL_SECONDS, clock=clock)
    plain = database.issue()
    await directory.lookup(plain)
    for _ in range(100):
        assert await refused(directory, generate()[1])
    database.loads.clear()
    await directory.lookup(plain)
    assert database.loads == []


async def test_remembered_guesses_are_bounded_too(database: Database, clock: Clock) -> None:
    directory = Directory(database.load, max_tokens=3, ttl_seconds=TTL_SECONDS, clock=clock)
    guesses = [generate()[1] for _ in range(10)]
    for plain in guesses:
        await refused(directory, plain)
        clock.seconds += 0.01
    database.loads.clear()
    for plain in reversed(guesses):
        await refused(directory, plain)
        clock.seconds += 0.01
    assert database.loads == [digest(plain) for plain in reversed(guesses[:-3])]


async def test_changed_token_is_read_again(directory: Directory, database: Database) -> None:
    plain, other = database.issue(), database.issue()
    await directory.lookup(plain)
    await directory.lookup(other)
    directory.apply(database.revoke(plain))
    assert (await directory.lookup(plain)).token_revoked
    await directory.lookup(other)
    assert Counter(database.loads) == {digest(plain): 2, digest(other): 1}


async def test_all_tokens_of_a_changed_project_are_read_again(
    directory: Directory, database: Database
) -> None:
    project_id = uuid7()
    plains = [database.issue(project_id), database.issue(project_id), database.issue()]
    for plain in plains:
        await directory.lookup(plain)
    database.loads.clear()
    directory.apply(Changes(project_ids=frozenset({project_id})))
    for plain in plains:
        await directory.lookup(plain)
    assert database.loads == [digest(plains[0]), digest(plains[1])]


async def test_token_that_was_unknown_is_found_once_it_has_been_issued(
    directory: Directory, database: Database
) -> None:
    token_id, plain = generate()
    assert await refused(directory, plain)
    database.put(plain, token_id, uuid7())
    assert await refused(directory, plain)
    directory.apply(Changes(token_ids=frozenset({token_id}), digests=frozenset({digest(plain)})))
    assert (await directory.lookup(plain)).token_id == token_id


async def test_change_of_others_leaves_an_unknown_token_unknown(
    directory: Directory, database: Database
) -> None:
    _, plain = generate()
    assert await refused(directory, plain)
    directory.apply(Changes(token_ids=frozenset({uuid7()}), digests=frozenset({"0" * 64})))
    assert await refused(directory, plain)
    assert len(database.loads) == 1


async def test_change_during_a_load_makes_it_read_again(directory: Directory, database: Database) -> None:
    plain = database.issue()
    database.hold()
    waiting = asyncio.create_task(directory.lookup(plain))
    await database.asked.wait()
    directory.apply(database.revoke(plain))
    database.release()
    assert (await waiting).token_revoked
    assert (await directory.lookup(plain)).token_revoked
    assert len(database.loads) == 2


async def test_look_without_changes_during_a_load_does_not_repeat_it(
    directory: Directory, database: Database
) -> None:
    plain = database.issue()
    database.hold()
    waiting = asyncio.create_task(directory.lookup(plain))
    await database.asked.wait()
    directory.apply(Changes())
    database.release()
    await waiting
    assert len(database.loads) == 1


async def test_database_that_is_away_is_told_to_all_who_wait(
    directory: Directory, database: Database
) -> None:
    plain = database.issue()
    database.is_away = True
    ends = await asyncio.gather(*(directory.lookup(plain) for _ in range(5)), return_exceptions=True)
    assert [type(end) for end in ends] == [DirectoryUnavailableError] * 5
    assert len(database.loads) == 1


async def test_database_that_was_away_is_asked_again(
    directory: Directory, database: Database, clock: Clock
) -> None:
    plain = database.issue()
    database.is_away = True
    for _ in range(3):
        with pytest.raises(DirectoryUnavailableError):
            await directory.lookup(plain)
    assert len(database.loads) == 1, "it is not asked by each request"
    database.is_away = False
    clock.seconds += 1
    assert await directory.lookup(plain) == database.grants[digest(plain)]


async def test_known_token_works_while_the_database_is_away(directory: Directory, database: Database) -> None:
    plain = database.issue()
    await directory.lookup(plain)
    database.is_away = True
    assert await directory.lookup(plain) == database.grants[digest(plain)]


async def test_failed_load_that_nobody_waits_for_is_silent(directory: Directory, database: Database) -> None:
    problems: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    database.hold()
    database.is_away = True
    leaving = asyncio.create_task(directory.lookup(database.issue()))
    await database.asked.wait()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    database.release()
    with pytest.raises(DirectoryUnavailableError):
        await directory.lookup(database.issue())
    assert problems == []


async def test_loads_beyond_the_bound_are_refused_until_the_others_end(
    directory: Directory, database: Database
) -> None:
    plains = [database.issue() for _ in range(MAX_LOADS)]
    one_more = database.issue()
    database.hold()
    waiting = [asyncio.create_task(directory.lookup(plain)) for plain in plains]
    while len(database.loads) < MAX_LOADS:
        await asyncio.sleep(0)
    with pytest.raises(DirectoryUnavailableError):
        await asyncio.wait_for(directory.lookup(one_more), timeout=5)
    sharing = asyncio.create_task(directory.lookup(plains[0]))
    database.release()
    assert len(await asyncio.gather(*waiting, sharing)) == MAX_LOADS + 1
    assert await directory.lookup(one_more) == database.grants[digest(one_more)]


class DirectoryAgainstModel(RuleBasedStateMachine):
    """The directory beside a dict from which one takes, when it is full, what would die first."""

    MAX_TOKENS = 3
    TOKENS = tuple(generate() for _ in range(8))
    PROJECTS = (UUID(int=1), UUID(int=2))
    tokens = st.sampled_from(range(len(TOKENS)))

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = Clock()
        self.database = Database()
        self.directory = Directory(
            self.database.load, max_tokens=self.MAX_TOKENS, ttl_seconds=TTL_SECONDS, clock=self.clock
        )
        for token_id, plain in self.TOKENS[::2]:
            self.database.put(plain, token_id, self.PROJECTS[0])
        self.deaths: dict[bool, dict[int, float]] = {True: {}, False: {}}
        """When each remembered token dies, of the known ones and of the unknown ones."""

    def teardown(self) -> None:
        self.runner.close()

    @rule(token=tokens, notice=st.booleans())
    def issue(self, token: int, notice: bool) -> None:
        token_id, plain = self.TOKENS[token]
        self.database.put(plain, token_id, self.PROJECTS[token % 2])
        if notice:
            self.apply(Changes(token_ids=frozenset({token_id}), digests=frozenset({digest(plain)})))
            for known in (True, False):
                self.deaths[known].pop(token, None)

    @precondition(lambda self: self.database.grants)
    @rule(token=tokens)
    def lose(self, token: int) -> None:
        self.database.grants.pop(digest(self.TOKENS[token][1]), None)

    @rule(project=st.sampled_from(range(2)))
    def change_project(self, project: int) -> None:
        self.apply(Changes(project_ids=frozenset({self.PROJECTS[project]})))
        for token in [token for token in self.deaths[True] if token % 2 == project]:
            del self.deaths[True][token]

    @rule(seconds=st.sampled_from([1.0, UNKNOWN_TTL_SECONDS, TTL_SECONDS / 2, TTL_SECONDS]))
    def wait(self, seconds: float) -> None:
        self.clock.seconds += seconds

    @rule(token=tokens)
    def lookup(self, token: int) -> None:
        self.clock.seconds += 0.001  # no two die at one instant
        plain = self.TOKENS[token][1]
        known = self.is_remembered(token, True)
        expects_load = not known and not self.is_remembered(token, False)
        if expects_load:
            known = digest(plain) in self.database.grants
            self.remember(token, known)
        loads = len(self.database.loads)
        assert self.run(refused(self.directory, plain)) is not known
        assert len(self.database.loads) - loads == expects_load

    @invariant()
    def size_is_the_models(self) -> None:
        assert len(self.directory) == len(self.deaths[True]) <= self.MAX_TOKENS

    def is_remembered(self, token: int, known: bool) -> bool:
        return self.deaths[known].get(token, 0) > self.clock.seconds

    def remember(self, token: int, known: bool) -> None:
        deaths = self.deaths[known]
        deaths.pop(token, None)
        if len(deaths) == self.MAX_TOKENS:
            del deaths[min(deaths, key=lambda other: deaths[other])]
        deaths[token] = self.clock.seconds + (TTL_SECONDS if known else UNKNOWN_TTL_SECONDS)

    def apply(self, changes: Changes) -> None:
        self.directory.apply(changes)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)


DirectoryAgainstModel.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestDirectoryAgainstModel = DirectoryAgainstModel.TestCase
