"""The directory of valid tokens: grants in memory, by digest. One per process, used on its event loop only.

Bounded: the entry that would die first is evicted first. Unknown tokens are remembered too, apart, so that
guesses cannot push grants out. Misses are single-flight: a thousand requests with one new token, one query.
While the database is away, what it said last holds for a grace, and says nothing of a token that is not here.
"""

import asyncio
import heapq
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

from tokens.format import digest as digest_of
from tokens.format import may_be_known
from tokens.grant import Grant
from tokens.reach import Reach

UNKNOWN_TTL_SECONDS = 10.0
MAX_LOADS = 1000
MAX_READS = 3
PATIENCE_SECONDS = 5.0
PATIENCE_WITH_KNOWN_SECONDS = 1.0
"""How long a request waits for the database. A known token can do without, for a while."""
IDLE_RECHECK_SECONDS = 1.0
"""So long a token that was found idle is taken for dead without another query."""

V = TypeVar("V")
Through = Callable[[str, Callable[[str], Awaitable[Grant]]], Awaitable[Grant]]


class UnknownTokenError(Exception):
    """No such token: malformed, mistyped, or never issued."""


class DirectoryUnavailableError(Exception):
    """The database cannot be asked now; says nothing about the token."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What another process, or a command, has changed since the last look."""

    token_ids: frozenset[UUID] = frozenset()
    project_ids: frozenset[UUID] = frozenset()
    digests: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.token_ids or self.project_ids or self.digests)

    def touches(self, grant: Grant) -> bool:
        return grant.token_id in self.token_ids or grant.project_id in self.project_ids


class Directory:
    def __init__(
        self,
        load: Callable[[str], Awaitable[Grant | None]],
        *,
        max_tokens: int,
        ttl_seconds: float,
        reach: Reach | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`load` takes a digest and may raise DirectoryUnavailableError. `reach` is told how that went;
        without one there is no grace.
        """
        self._load = load
        self._reach = reach or Reach(grace_seconds=0, clock=clock)
        self._wall_clock = wall_clock
        self._known: _DyingMap[Grant] = _DyingMap(max_tokens, ttl_seconds, clock)
        self._unknown: _DyingMap[None] = _DyingMap(max_tokens, UNKNOWN_TTL_SECONDS, clock)
        self._loading: dict[str, asyncio.Task[Grant | None]] = {}
        self.generation = 0
        """Moves with every change that was applied."""

    async def lookup(self, plain: str, through: Through | None = None) -> Grant:
        """The grant of this token, revoked and expired ones included: what it allows is not our question.
        `through` gets a token that is not in memory, and `find`.

        Raises UnknownTokenError, DirectoryUnavailableError, and what `through` raises.
        """
        digest = digest_of(plain)
        grant = self._known.get(digest)
        if grant is not None and not self._may_have_been_used(grant):
            return grant
        if digest in self._unknown or not may_be_known(plain):
            raise UnknownTokenError
        if through is not None and grant is None:
            return await through(digest, self.find)
        return await self.find(digest)

    async def find(self, digest: str) -> Grant:
        """As `lookup`, for who knows the digest of a token that there was."""
        grant = self._known.get(digest)
        if grant is None or self._may_have_been_used(grant):
            last = self._known.last(digest)
            try:
                grant = await self._ask(digest, is_known=last is not None)
            except DirectoryUnavailableError:
                if last is None or not self._holds(last):
                    raise
                grant = last
        if grant is None:
            raise UnknownTokenError
        return grant

    async def _ask(self, digest: str, *, is_known: bool) -> Grant | None:
        """The database; while it is away only now and then, and then known tokens do not wait for it."""
        if self._reach.is_away:
            if self._loading or not self._reach.may_ask():
                raise DirectoryUnavailableError
            if is_known:
                self._begin_load(digest)
                raise DirectoryUnavailableError
        try:
            async with asyncio.timeout(PATIENCE_WITH_KNOWN_SECONDS if is_known else PATIENCE_SECONDS):
                return await self._load_once(digest)
        except TimeoutError:
            self._reach.keeps_waiting()
            raise DirectoryUnavailableError from None

    def _holds(self, grant: Grant) -> bool:
        """Whether what is known of this token may be believed without the database. A token that looks idle
        may have been used since.
        """
        return self._reach.is_in_grace and grant.idle_expires_at > self._wall_clock()

    def _may_have_been_used(self, grant: Grant) -> bool:
        """Whether a token that looks idle may have been used since, perhaps elsewhere: the database knows."""
        if grant.idle_expires_at > self._wall_clock():
            return False
        return self._known.age_seconds(grant.digest) > IDLE_RECHECK_SECONDS

    def apply(self, changes: Changes) -> None:
        """Forget what has changed; the next request reads it anew."""
        if not changes:
            return
        self.generation += 1
        self._known.discard([digest for digest, grant in self._known.items() if changes.touches(grant)])
        self._unknown.discard(changes.digests)

    def __len__(self) -> int:
        return len(self._known)

    async def _load_once(self, digest: str) -> Grant | None:
        task = self._loading.get(digest)
        if task is None:
            if len(self._loading) >= MAX_LOADS:
                raise DirectoryUnavailableError
            task = self._begin_load(digest)
        # A client that hangs up must not take the load away from those who wait for it too. Not `shield`: on
        # Python 3.14 it logs the failure of what its waiter has left.
        await asyncio.wait([task])
        return task.result()

    def _begin_load(self, digest: str) -> asyncio.Task[Grant | None]:
        task = self._loading[digest] = asyncio.create_task(self._load_and_keep(digest))
        task.add_done_callback(lambda task: self._loaded(digest, task))
        return task

    def _loaded(self, digest: str, task: asyncio.Task[Grant | None]) -> None:
        del self._loading[digest]
        if not task.cancelled():
            task.exception()  # taken note of: perhaps nobody waits for it any more

    async def _load_and_keep(self, digest: str) -> Grant | None:
        for _ in range(MAX_READS):
            generation = self.generation
            try:
                grant = await self._load(digest)
            except DirectoryUnavailableError as problem:
                self._reach.failed(str(problem))
                raise
            self._reach.answered()
            if generation == self.generation:
                break
            # Something changed while we read: what was read may be older than the change. Read again.
        else:
            return grant  # changes come faster than we read; good for this request, but not for keeping
        if grant is None:
            self._unknown.put(digest, None)
        else:
            self._known.put(digest, grant)
        return grant


class _DyingMap(Generic[V]):
    """A bounded map whose entries die `ttl_seconds` after they are put; when full, the next to die goes."""

    def __init__(self, max_entries: int, ttl_seconds: float, clock: Callable[[], float]) -> None:
        self._max_entries = max_entries
        self._ttl_seconds = ttl_seconds
        self._clock = clock
        self._entries: dict[str, tuple[float, V]] = {}
        self._deaths: list[tuple[float, str]] = []

    def get(self, key: str) -> V | None:
        entry = self._entries.get(key)
        if entry is None or entry[0] <= self._clock():
            return None
        return entry[1]

    def last(self, key: str) -> V | None:
        """The value, even if its time is over: it is here until the place is needed."""
        entry = self._entries.get(key)
        return None if entry is None else entry[1]

    def age_seconds(self, key: str) -> float:
        """Since the entry was put; infinity if there is none."""
        entry = self._entries.get(key)
        return float("inf") if entry is None else self._clock() - (entry[0] - self._ttl_seconds)

    def __contains__(self, key: str) -> bool:
        entry = self._entries.get(key)
        return entry is not None and entry[0] > self._clock()

    def __len__(self) -> int:
        return len(self._entries)

    def items(self) -> list[tuple[str, V]]:
        return [(key, value) for key, (_, value) in self._entries.items()]

    def put(self, key: str, value: V) -> None:
        self._entries.pop(key, None)
        while len(self._entries) >= self._max_entries:
            self._evict()
        dies_at = self._clock() + self._ttl_seconds
        self._entries[key] = (dies_at, value)
        heapq.heappush(self._deaths, (dies_at, key))
        if len(self._deaths) > 2 * self._max_entries + 64:
            self._forget_stale_deaths()

    def discard(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._entries.pop(key, None)

    def _evict(self) -> None:
        dies_at, key = heapq.heappop(self._deaths)
        entry = self._entries.get(key)
        if entry is not None and entry[0] == dies_at:
            del self._entries[key]

    def _forget_stale_deaths(self) -> None:
        self._deaths = [(dies_at, key) for key, (dies_at, _) in self._entries.items()]
        heapq.heapify(self._deaths)
