"""What the data plane asks the database, and tells it: in worker threads, so that nobody waits but who asks.
While the database is away, it is not asked what nobody can wait for.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from uuid import UUID

import structlog
from django.db import Error, OperationalError, connection
from django.utils import timezone

from projects.key_health import store_health
from proxy.keyring import KeyHealth
from tokens.directory import DirectoryUnavailableError
from tokens.exchange.issuing import trusted_issuers
from tokens.grant import Grant
from tokens.limits.values import LimitsUnavailableError, Subject, Tally
from tokens.loader import keep_alive, known_digests, load_grant
from tokens.origins import load_origins
from tokens.reach import Reach
from usage.price_book import PriceBook
from usage.price_overrides import load_overrides
from usage.tally import load_tally

THREADS = 2
ADOPTION_SECONDS = 2.0
"""How long a request waits at the start for what earlier processes have left."""
PATIENCE_SECONDS = 5.0
"""How long those wait who can do without an answer, or are many."""
PRICES_SECONDS = 10.0
"""How often prices that were set are read anew."""

T = TypeVar("T")

log = structlog.get_logger("proxy")


class Database:
    def __init__(self, reach: Reach, prices: PriceBook) -> None:
        """`prices` gets what operators have set. Call on the event loop."""
        self.is_adopted = asyncio.Event()
        """Set once the ledger has all that was left by processes that died."""
        self._reach = reach
        self._prices = prices
        self._has_prices = False
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="directory")
        self._spare_thread = ThreadPoolExecutor(1, thread_name_prefix="spare")
        self._price_reader: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._price_reader = self._loop.create_task(self._read_prices_now_and_then())

    def read_no_more(self) -> None:
        """What is not asked for by anybody."""
        if self._price_reader is not None:
            self._price_reader.cancel()

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._spare_thread.shutdown(wait=False, cancel_futures=True)

    async def in_thread(self, function: Callable[..., T], *arguments: object) -> T:
        """Run what asks the database, in a worker thread. Raises what it raises, django.db.Error among it."""
        return await self._loop.run_in_executor(self._threads, _on_a_live_connection, function, *arguments)

    async def in_spare_thread(self, function: Callable[..., T], *arguments: object) -> T:
        """As `in_thread`, in a thread of its own, for what no request waits for."""
        return await self._loop.run_in_executor(
            self._spare_thread, _on_a_live_connection, function, *arguments
        )

    async def load_grant(self, digest: str) -> Grant | None:
        """None if there is no such token. Raises DirectoryUnavailableError."""
        try:
            if not self._has_prices:
                await self._read_prices()
            return await self.in_thread(load_grant, digest)
        except Error as problem:
            log.error("access tokens cannot be read", error=str(problem))
            raise DirectoryUnavailableError(str(problem)) from None

    async def known_digests(self, digests: list[str]) -> frozenset[str]:
        """Which of these there are. Raises DirectoryUnavailableError."""
        if self._reach.is_away:
            raise DirectoryUnavailableError
        try:
            return await self._ask(known_digests, digests)
        except Error as problem:
            log.error("access tokens cannot be read", error=str(problem))
            raise DirectoryUnavailableError from None

    async def load_origins(self) -> frozenset[bytes] | None:
        """Those that any token lists; None if they cannot be read now."""
        if self._reach.is_away:
            return None
        try:
            return await self._ask(load_origins, timezone.now())
        except Error as problem:
            log.error("allowed origins cannot be read", error=str(problem))
            return None

    async def trusted_issuers(self) -> frozenset[str]:
        """Those that trust rules name. Raises django.db.Error."""
        return await self._ask(trusted_issuers)

    async def load_tally(self, subject: Subject, at_ms: int) -> Tally:
        """As of this instant, once the ledger has all that was left by processes that died. Raises
        LimitsUnavailableError.
        """
        if self._reach.is_away:
            raise LimitsUnavailableError
        try:
            async with asyncio.timeout(ADOPTION_SECONDS):
                await self.is_adopted.wait()
            return await self.in_thread(load_tally, subject, at_ms)
        except Error as problem:
            log.error("the ledger cannot be read", error=str(problem))
            raise LimitsUnavailableError from None
        except TimeoutError:
            log.warning("what processes have left is still being read, limits cannot be counted yet")
            raise LimitsUnavailableError from None

    async def keep_alive(self, token_ids: set[UUID]) -> None:
        """Note that these tokens are in use."""
        try:
            await self.in_thread(keep_alive, token_ids, timezone.now())
        except Error as problem:
            log.error("the use of access tokens cannot be noted", error=str(problem))

    async def store_health(self, healths: list[KeyHealth]) -> bool:
        """Whether it could be noted."""
        try:
            await self.in_thread(store_health, healths)
        except Error as problem:
            log.error("the health of upstream keys cannot be noted", error=str(problem))
            return False
        return True

    async def _ask(self, function: Callable[..., T], *arguments: object) -> T:
        """As `in_thread`; a database that does not answer in time is an error, too."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await self.in_thread(function, *arguments)
        except TimeoutError:
            self._reach.keeps_waiting()
            raise OperationalError("it does not answer in time") from None

    async def _read_prices(self) -> None:
        self._prices.set_overrides(await self.in_thread(load_overrides))
        self._has_prices = True

    async def _read_prices_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(PRICES_SECONDS)
            try:
                await self._read_prices()
            except Error as problem:
                log.error("prices cannot be read", error=str(problem))


def _on_a_live_connection(function: Callable[..., T], *arguments: object) -> T:
    """Call it; a connection that failed is not used again. One that has died since it was last used, as all
    do when the database starts anew, is replaced at once, and nobody need know.
    """
    was_open = connection.connection is not None
    try:
        return function(*arguments)
    except Error:
        has_died = was_open and (connection.connection is None or not connection.is_usable())
        connection.close()
        if not has_died:
            raise
    return _on_a_live_connection(function, *arguments)
