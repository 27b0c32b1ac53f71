"""Access tokens that nobody knows: each costs a query, and whoever sends many must not have many queries.

An address has some such queries in credit. Without credit its tokens wait in line, and a few times a second
all that wait are asked for in one query. So guesses cost the database next to nothing, and a good token that
is new to us waits for a moment, whatever else its address sends. One that was found good before never waits.
"""

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from enum import Enum, auto

import structlog

from proxy.credit import Credit, Credits
from proxy.errors import RateLimitReached
from tokens.directory import DirectoryUnavailableError, UnknownTokenError
from tokens.grant import Grant

CREDIT = 20
"""Queries for unknown tokens that an address may cause at once."""
CREDIT_PER_SECOND = 1.0
CREDIT_OF_ALL = 200
CREDIT_OF_ALL_PER_SECOND = 20.0
MAX_GOOD = 10_000
MAX_WAITING = 1000
ROUND_SECONDS = 0.2
WARN_SECONDS = 60.0

log = structlog.get_logger("proxy")

Find = Callable[[str], Awaitable[Grant]]


class _Verdict(Enum):
    KNOWN = auto()
    UNKNOWN = auto()
    UNAVAILABLE = auto()
    CROWDED = auto()


class Screening:
    def __init__(
        self,
        find_known: Callable[[list[str]], Awaitable[frozenset[str]]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`find_known` tells which of these digests there are; it may raise DirectoryUnavailableError."""
        self._find_known = find_known
        self._clock = clock
        self._of_all = Credit(CREDIT_OF_ALL, CREDIT_OF_ALL_PER_SECOND, clock())
        self._of_addresses = Credits(CREDIT, CREDIT_PER_SECOND, clock)
        self._good: OrderedDict[str, None] = OrderedDict()
        self._waiting: dict[str, asyncio.Future[_Verdict]] = {}
        self._rounds: asyncio.Task[None] | None = None
        self._warned_at = float("-inf")

    async def look_up(self, address: str, digest: str, find: Find) -> Grant:
        """What `find` finds for a token of this address that is not in memory.

        Raises UnknownTokenError, DirectoryUnavailableError and RateLimitReached.
        """
        if digest in self._good:
            return await self._find_good(digest, find)
        credit = self._of_addresses.of(address)
        if not self._may_ask(credit):
            self._warn(address)
            await self._wait_in_line(digest)
            return await self._find_good(digest, find)
        is_unknown = False
        try:
            return await self._find_good(digest, find)
        except UnknownTokenError:
            is_unknown = True
            raise
        finally:
            if not is_unknown:
                credit.give_back()
                self._of_all.give_back()

    def _may_ask(self, credit: Credit) -> bool:
        now = self._clock()
        if not credit.take(now):
            return False
        if not self._of_all.take(now):
            credit.give_back()
            return False
        return True

    async def _find_good(self, digest: str, find: Find) -> Grant:
        try:
            grant = await find(digest)
        except UnknownTokenError:
            self._good.pop(digest, None)
            raise
        self._good[digest] = None
        self._good.move_to_end(digest)
        if len(self._good) > MAX_GOOD:
            self._good.popitem(last=False)
        return grant

    async def _wait_in_line(self, digest: str) -> None:
        future = self._waiting.get(digest)
        if future is None:
            self._make_room()
            future = self._waiting[digest] = asyncio.get_running_loop().create_future()
            if self._rounds is None or self._rounds.done():
                self._rounds = asyncio.create_task(self._go_round())
        match await asyncio.shield(future):
            case _Verdict.UNKNOWN:
                raise UnknownTokenError
            case _Verdict.UNAVAILABLE:
                raise DirectoryUnavailableError
            case _Verdict.CROWDED:
                raise RateLimitReached(
                    "requests",
                    "Too many unknown access tokens are being sent. Try again in a moment.",
                    retry_after_ms=1000,
                )

    def _make_room(self) -> None:
        """Whom it hits is chance: so nobody can keep another out."""
        if len(self._waiting) >= MAX_WAITING:
            digest = random.choice(list(self._waiting))  # noqa: S311 (not a secret)
            self._waiting.pop(digest).set_result(_Verdict.CROWDED)

    async def _go_round(self) -> None:
        while self._waiting:
            await asyncio.sleep(ROUND_SECONDS)
            asked, self._waiting = self._waiting, {}
            known = None
            try:
                known = await self._find_known(list(asked))
            except DirectoryUnavailableError:
                continue
            except Exception:  # the task's edge: those who came into line meanwhile would wait for ever
                log.exception("access tokens in line could not be asked for")
            finally:
                for digest, future in asked.items():
                    future.set_result(_verdict(digest, known))

    def _warn(self, address: str) -> None:
        now = self._clock()
        if now - self._warned_at >= WARN_SECONDS:
            self._warned_at = now
            log.warning("many unknown access tokens are sent", address=address)


def _verdict(digest: str, known: frozenset[str] | None) -> _Verdict:
    if known is None:
        return _Verdict.UNAVAILABLE
    return _Verdict.KNOWN if digest in known else _Verdict.UNKNOWN
