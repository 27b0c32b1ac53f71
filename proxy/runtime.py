"""What the data plane keeps in memory, one of it per process: directory, limits, prices, connections, ledger.

It starts itself with the first request, on that request's event loop; the server stops it.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, TypeVar

import httpx
import structlog
from django.conf import settings

from llm_proxy_site.secret_forms import without_secrets
from proxy.access_log import AccessLog
from proxy.capture import Captures
from proxy.client import Client
from proxy.client_address import client_address, network_of
from proxy.configuration import configured_providers, read_providers
from proxy.cors import Allowance
from proxy.database import Database
from proxy.headers import first
from proxy.held_bodies import HeldBodies
from proxy.key_health import HealthWriter
from proxy.metrics.metrics import Metrics
from proxy.origins import KnownOrigins
from proxy.providers import InvalidProvidersError, Providers
from proxy.running import RunningRequests
from proxy.screening import Find, Screening
from proxy.tracing.opening import open_tracer
from proxy.tracing.trace import Trace
from proxy.transport import AiohttpTransport
from proxy.types import Headers, Scope
from proxy.upstreams import Upstreams
from proxy.websockets.open_sockets import OpenSockets
from proxy.websockets.upstream import SocketTransport
from tokens.changes import ChangePoller
from tokens.directory import Changes, Directory, Through
from tokens.exchange.fetching import fetch_keys
from tokens.exchange.keys import IssuerKeys
from tokens.exchange.verifier import Verifier
from tokens.grant import Grant
from tokens.limits.opening import open_store
from tokens.limits.values import NO_LIMITS, Kind, Subject
from tokens.reach import Reach
from usage.captures.raw import Room
from usage.captures.writer import CaptureWriter
from usage.daily_spend import DayOfUse
from usage.entry import UsageEntry
from usage.ledger import Ledger
from usage.live.opening import open_feed
from usage.price_book import PriceBook
from usage.spool.spool import Spool

ASK_SECONDS = 5.0

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
        self.prices = PriceBook()
        self.reach = Reach(grace_seconds=settings.DIRECTORY_GRACE.total_seconds())
        self.database = Database(self.reach, self.prices)
        self.key_health = HealthWriter(self.database.store_health)
        self.upstreams = Upstreams(self.key_health.note)
        self.socket_transport = SocketTransport(
            max_connections=settings.UPSTREAM_MAX_CONNECTIONS,
            connect_seconds=settings.UPSTREAM_CONNECT_TIMEOUT_SECONDS,
            max_message_bytes=settings.WEBSOCKET_MAX_MESSAGE_BYTES,
        )
        self.sockets = OpenSockets()
        self.limits = open_store(self.database.load_tally)
        self.held_bodies = HeldBodies()
        self.directory = Directory(
            self.database.load_grant,
            max_tokens=settings.DIRECTORY_MAX_TOKENS,
            ttl_seconds=settings.DIRECTORY_TTL_SECONDS,
            reach=self.reach,
        )
        self.screening = Screening(self.database.known_digests)
        self.workloads = Verifier(self.database.trusted_issuers, IssuerKeys(fetch_keys))
        self.running = RunningRequests(self.directory, self.limits, self.database.keep_alive)
        self.origins = KnownOrigins(self.database.load_origins)
        self.loop = asyncio.get_running_loop()
        self._access_log = AccessLog(
            self.loop, sample=settings.ACCESS_LOG_SAMPLE, slow_seconds=settings.ACCESS_LOG_SLOW_SECONDS
        )
        self.poller = ChangePoller(
            self._changed, interval_seconds=settings.DIRECTORY_POLL_SECONDS, reach=self.reach
        )
        self.spool = Spool(settings.SPOOL_DIR, max_bytes=settings.SPOOL_MAX_BYTES)
        self.ledger = Ledger(
            batch_seconds=settings.LEDGER_BATCH_SECONDS,
            max_pending=settings.LEDGER_MAX_PENDING,
            spool=self.spool,
            on_adopted=lambda: self._on_loop(lambda _: self.database.is_adopted.set(), None),
            on_written=lambda counts: self._on_loop(self.limits.written, counts),
            on_corrected=lambda days: self._on_loop(self._correct, days),
            find_price=self.prices.find,
        )
        self.capture_writer = CaptureWriter()
        self.captures = Captures(self.capture_writer.put, Room(settings.CAPTURE_MAX_PENDING_BYTES))
        self.feed = open_feed(self.database.in_spare_thread, self.running.entries)
        is_measured = settings.METRICS_TOKEN or settings.METRICS_NETWORKS
        self.metrics = Metrics(self) if is_measured else None
        self.tracer = open_tracer()

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
    def interrupt_current(cls) -> None:
        """The server waits no longer: requests and WebSockets that still run end, and say why."""
        if cls._current is not None:
            cls._current.running.interrupt()

    @classmethod
    async def stop_current(cls) -> None:
        """Close connections, end the threads, and write what the ledger holds."""
        if cls._current is None:
            return
        runtime, cls._current = cls._current, None
        await runtime.running.stop()
        runtime.database.read_no_more()
        await runtime.transport.aclose()
        await runtime.socket_transport.aclose()
        runtime._access_log.flush()
        await runtime.loop.run_in_executor(None, runtime._stop_threads)
        if runtime.metrics is not None:
            runtime.metrics.stop()
        await runtime.key_health.stop()
        await runtime.limits.flush()  # with what the ledger's last batch has corrected
        await runtime.limits.aclose()
        await runtime.feed.stop()
        runtime.database.close()

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

    def record(self, entry: UsageEntry, trace: Trace | None = None) -> None:
        """A finished request: into the log, into the ledger if it came with a token that we know, into the
        metrics, to who watches, to who traces. Not to be edited any more.
        """
        entry.model = without_secrets(entry.model)  # upstream may have said it anew
        if self.captures.running:
            self.captures.finish(entry)
        self._access_log.write(entry, trace)
        if entry.token_id is not None:
            self.ledger.record(entry)
        if self.metrics is not None:
            self.metrics.count(entry)
        if self.feed.is_watched:
            self.feed.tell(entry)
        if trace is not None and self.tracer is not None:
            self.tracer.end(trace, entry)

    def screened(self, scope: Scope) -> Through:
        """How tokens are looked up that come with this request."""
        return partial(self._look_up, scope)

    def network_of(self, scope: Scope) -> str:
        """What stands for the client that has sent this request."""
        return network_of(str(client_address(scope, trusted_proxies=self.trusted_proxies)))

    def address_of(self, scope: Scope) -> str:
        """As the audit trail keeps it: empty where it cannot be known."""
        return str(client_address(scope, trusted_proxies=self.trusted_proxies) or "")

    async def let_pages_read(self, client: Client, headers: Headers) -> None:
        """What is wrong, where it is said before it is known which token asks."""
        origin = first(headers, b"origin")
        if origin is not None and client.rewrite is None and await self.origins.allow(origin):
            client.rewrite = Allowance(origin)

    def ask(self, function: Callable[[], T]) -> T:
        """What `function` returns on the event loop, asked for from another thread. Raises TimeoutError."""

        async def on_loop() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(on_loop(), self.loop).result(ASK_SECONDS)

    def _start(self) -> None:
        self.poller.start()
        self.ledger.start()
        self.capture_writer.start()
        self.running.start()
        self.database.start()
        self.feed.start()
        if self.metrics is not None:
            self.metrics.start()
        if self.tracer is not None:
            self.tracer.start()

    def _drain(self) -> None:
        self.running.drain_no_more()
        self.sockets.restart()

    def _stop_threads(self) -> None:
        self.poller.stop()
        unwritten = self.ledger.stop()
        if unwritten:
            log.error("usage records could not be written before the end", dropped=unwritten)
        if lost := self.capture_writer.stop():
            log.error("captured bodies could not be written before the end", dropped=lost)
        if self.spool.pending:
            log.warning("usage records stay in the spool for the next process", pending=self.spool.pending)
        if self.tracer is not None:
            self.tracer.stop()

    async def _look_up(self, scope: Scope, digest: str, find: Find) -> Grant:
        return await self.screening.look_up(self.network_of(scope), digest, find)

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
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(function, argument)
