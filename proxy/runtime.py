"""What the data plane keeps in memory, one of it per process: directory, limits, prices, connections, ledger.

It starts itself with the first request, on that request's event loop; the server stops it.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ClassVar, TypeVar
from uuid import UUID

import httpx
import structlog
from django.conf import settings
from django.db import Error, connection
from django.utils import timezone

from projects.key_health import store_health
from proxy.access_log import AccessLog
from proxy.client import Client
from proxy.client_address import client_address, network_of
from proxy.configuration import configured_providers, read_providers
from proxy.cors import Allowance
from proxy.headers import first
from proxy.held_bodies import HeldBodies
from proxy.key_health import HealthWriter
from proxy.keyring import KeyHealth
from proxy.origins import KnownOrigins
from proxy.providers import InvalidProvidersError, Providers
from proxy.running import RunningRequests
from proxy.screening import Find, Screening
from proxy.transport import AiohttpTransport
from proxy.types import Headers, Scope
from proxy.upstreams import Upstreams
from proxy.websockets.open_sockets import OpenSockets
from proxy.websockets.upstream import SocketTransport
from tokens.changes import ChangePoller
from tokens.directory import Changes, Directory, DirectoryUnavailableError, Through
from tokens.grant import Grant
from tokens.limits.opening import open_store
from tokens.limits.values import NO_LIMITS, Kind, LimitsUnavailableError, Subject, Tally
from tokens.loader import keep_alive, known_digests, load_grant
from tokens.origins import load_origins
from tokens.reach import Reach
from usage.daily_spend import DayOfUse
from usage.entry import UsageEntry
from usage.ledger import Ledger
from usage.price_book import PriceBook
from usage.price_overrides import load_overrides
from usage.spool.spool import Spool
from usage.tally import load_tally

LOADER_THREADS = 2
ADOPTION_SECONDS = 2.0
"""How long a request waits at the start for what earlier processes have left."""
PRICES_SECONDS = 10.0
"""How often prices that were set are read anew."""

T = TypeVar("T")

log = structlog.get_logger("proxy")


class Runtime:
    _current: ClassVar["Runtime | None"] = None
    _is_draining: ClassVar[bool] = False

    def __init__(self) -> None:
        self.providers: Providers = configured_providers()
        self.max_body_bytes: int = settings.REQUEST_MAX_BYTES
        self.trusted_proxies: int = settings.TRUSTED_PROXY_COUNT
        self.transport: httpx.AsyncBaseTransport = AiohttpTransport(
            max_connections=settings.UPSTREAM_MAX_CONNECTIONS
        )
        self.key_health = HealthWriter(self._store_health)
        self.upstreams = Upstreams(self.key_health.note)
        self.socket_transport = SocketTransport(
            max_connections=settings.UPSTREAM_MAX_CONNECTIONS,
            connect_seconds=settings.UPSTREAM_CONNECT_TIMEOUT_SECONDS,
            max_message_bytes=settings.WEBSOCKET_MAX_MESSAGE_BYTES,
        )
        self.sockets = OpenSockets()
        self.limits = open_store(self._load_tally)
        self.held_bodies = HeldBodies()
        self.prices = PriceBook()
        self._has_prices = False
        self.reach = Reach(grace_seconds=settings.DIRECTORY_GRACE.total_seconds())
        self.directory = Directory(
            self._load_grant,
            max_tokens=settings.DIRECTORY_MAX_TOKENS,
            ttl_seconds=settings.DIRECTORY_TTL_SECONDS,
            reach=self.reach,
        )
        self.screening = Screening(self._known_digests)
        self.running = RunningRequests(self.directory, self.limits, self._keep_alive)
        self.origins = KnownOrigins(self._load_origins)
        self._loop = asyncio.get_running_loop()
        self._access_log = AccessLog(self._loop)
        self._loaders = ThreadPoolExecutor(LOADER_THREADS, thread_name_prefix="directory")
        self.poller = ChangePoller(
            self._changed, interval_seconds=settings.DIRECTORY_POLL_SECONDS, reach=self.reach
        )
        self._is_adopted = asyncio.Event()
        self.spool = Spool(settings.SPOOL_DIR, max_bytes=settings.SPOOL_MAX_BYTES)
        self.ledger = Ledger(
            batch_seconds=settings.LEDGER_BATCH_SECONDS,
            max_pending=settings.LEDGER_MAX_PENDING,
            spool=self.spool,
            on_adopted=lambda: self._on_loop(lambda _: self._is_adopted.set(), None),
            on_written=lambda counts: self._on_loop(self.limits.written, counts),
            on_corrected=lambda days: self._on_loop(self._correct, days),
            find_price=self.prices.find,
        )

    @classmethod
    def current(cls) -> "Runtime":
        """This process's runtime, started if it is not yet. Call on the event loop."""
        if cls._current is None:
            cls._current = cls()
            cls._current._start()
            if cls._is_draining:
                cls._current._drain()
        return cls._current

    @classmethod
    def started(cls) -> "Runtime | None":
        """This process's runtime, if it is started. From any thread."""
        return cls._current

    @classmethod
    def drain_current(cls) -> None:
        """The server is about to stop: only requests with a client go on, and WebSockets are told."""
        cls._is_draining = True
        if cls._current is not None:
            cls._current._drain()

    @classmethod
    async def stop_current(cls) -> None:
        """Close connections, end the threads, and write what the ledger holds."""
        if cls._current is None:
            return
        runtime, cls._current = cls._current, None
        await runtime.running.stop()
        runtime._price_reader.cancel()
        await runtime.transport.aclose()
        await runtime.socket_transport.aclose()
        runtime._access_log.flush()
        await runtime._loop.run_in_executor(None, runtime._stop_threads)
        await runtime.key_health.stop()
        await runtime.limits.flush()  # with what the ledger's last batch has corrected
        await runtime.limits.aclose()
        runtime._loaders.shutdown(wait=False, cancel_futures=True)

    @classmethod
    async def reload_providers(cls) -> None:
        """Read PROVIDERS_FILE anew, for requests that begin from now on. An invalid one changes nothing."""
        try:
            providers = await asyncio.to_thread(read_providers)
        except InvalidProvidersError as invalid:
            for problem in invalid.problems:
                log.error("providers are not reloaded, the old ones stay", problem=problem)
            return
        if cls._current is not None:
            cls._current.providers = providers
        log.info("providers are reloaded", providers=providers.names)

    def record(self, entry: UsageEntry) -> None:
        """A finished request: into the log, and into the ledger if it came with a token that we know. Not to
        be edited any more.
        """
        self._access_log.write(entry)
        if entry.token_id is not None:
            self.ledger.record(entry)

    def screened(self, scope: Scope) -> Through:
        """How tokens are looked up that come with this request."""
        return partial(self._look_up, scope)

    async def let_pages_read(self, client: Client, headers: Headers) -> None:
        """What is wrong, where it is said before it is known which token asks."""
        origin = first(headers, b"origin")
        if origin is not None and client.rewrite is None and await self.origins.allow(origin):
            client.rewrite = Allowance(origin)

    async def in_thread(self, function: Callable[..., T], *arguments: object) -> T:
        """Run what asks the database, in a worker thread. Raises what it raises, django.db.Error among it."""
        return await self._loop.run_in_executor(self._loaders, _closing_broken, function, *arguments)

    def _start(self) -> None:
        self.poller.start()
        self.ledger.start()
        self.running.start()
        self._price_reader = self._loop.create_task(self._read_prices_now_and_then())

    def _drain(self) -> None:
        self.running.drain_no_more()
        self.sockets.restart()

    def _stop_threads(self) -> None:
        self.poller.stop()
        unwritten = self.ledger.stop()
        if unwritten:
            log.error("usage records could not be written before the end", dropped=unwritten)
        if self.spool.pending:
            log.warning("usage records stay in the spool for the next process", pending=self.spool.pending)

    async def _load_grant(self, digest: str) -> Grant | None:
        try:
            if not self._has_prices:
                await self._read_prices()
            return await self.in_thread(load_grant, digest)
        except Error as problem:
            log.error("access tokens cannot be read", error=str(problem))
            raise DirectoryUnavailableError(str(problem)) from None

    async def _look_up(self, scope: Scope, digest: str, find: Find) -> Grant:
        address = client_address(scope, trusted_proxies=self.trusted_proxies)
        return await self.screening.look_up(network_of(str(address)), digest, find)

    async def _known_digests(self, digests: list[str]) -> frozenset[str]:
        if self.reach.is_away:
            raise DirectoryUnavailableError
        try:
            return await self.in_thread(known_digests, digests)
        except Error as problem:
            log.error("access tokens cannot be read", error=str(problem))
            raise DirectoryUnavailableError from None

    async def _load_origins(self) -> frozenset[bytes] | None:
        if self.reach.is_away:
            return None
        try:
            return await self.in_thread(load_origins, timezone.now())
        except Error as problem:
            log.error("allowed origins cannot be read", error=str(problem))
            return None

    async def _load_tally(self, subject: Subject) -> Tally:
        """Once the ledger has all that was left by processes that died."""
        if self.reach.is_away:
            raise LimitsUnavailableError
        try:
            async with asyncio.timeout(ADOPTION_SECONDS):
                await self._is_adopted.wait()
            return await self.in_thread(load_tally, subject, timezone.now())
        except Error as problem:
            log.error("the ledger cannot be read", error=str(problem))
            raise LimitsUnavailableError from None
        except TimeoutError:
            log.warning("what processes have left is still being read, limits cannot be counted yet")
            raise LimitsUnavailableError from None

    async def _read_prices(self) -> None:
        self.prices.set_overrides(await self.in_thread(load_overrides))
        self._has_prices = True

    async def _read_prices_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(PRICES_SECONDS)
            try:
                await self._read_prices()
            except Error as problem:
                log.error("prices cannot be read", error=str(problem))

    async def _keep_alive(self, token_ids: set[UUID]) -> None:
        try:
            await self.in_thread(keep_alive, token_ids, timezone.now())
        except Error as problem:
            log.error("the use of access tokens cannot be noted", error=str(problem))

    async def _store_health(self, healths: list[KeyHealth]) -> bool:
        try:
            await self.in_thread(store_health, healths)
        except Error as problem:
            log.error("the health of upstream keys cannot be noted", error=str(problem))
            return False
        return True

    def _correct(self, days: list[DayOfUse]) -> None:
        for day in days:
            subjects = (
                Subject(Kind.TOKEN, day.token_id, NO_LIMITS),
                Subject(Kind.PROJECT, day.project_id, NO_LIMITS),
            )
            self.limits.corrected(subjects, day.day_ms, day.cost_microusd)

    def _changed(self, changes: Changes) -> None:
        self._on_loop(self.directory.apply, changes)
        self._on_loop(self.running.apply, changes)
        self._on_loop(self.origins.forget, changes)

    def _on_loop(self, function: Callable[[Any], None], argument: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, argument)


def _closing_broken(function: Callable[..., T], *arguments: object) -> T:
    """Call it; a connection that failed is not used again."""
    try:
        return function(*arguments)
    except Error:
        connection.close()
        raise
