"""What the data plane keeps in memory, one of it per process: directory, limits, connections, ledger.

It starts itself with the first request, on that request's event loop; the server stops it.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import httpx
import structlog
from django.conf import settings
from django.db import Error, connection

from proxy.access_log import AccessLog
from proxy.providers import Providers, load_providers
from proxy.transport import AiohttpTransport
from tokens.changes import ChangePoller
from tokens.directory import Changes, Directory, DirectoryUnavailableError
from tokens.grant import Grant
from tokens.limits import RequestLimits
from tokens.loader import load_grant
from usage.entry import UsageEntry
from usage.ledger import Ledger

LOADER_THREADS = 2

log = structlog.get_logger("proxy")


class Runtime:
    _current: ClassVar["Runtime | None"] = None

    def __init__(self) -> None:
        self.providers: Providers = load_providers(settings.PROVIDERS_FILE)
        self.max_body_bytes: int = settings.REQUEST_MAX_BYTES
        self.timeout = {
            "connect": settings.UPSTREAM_CONNECT_TIMEOUT_SECONDS,
            "read": settings.UPSTREAM_READ_TIMEOUT_SECONDS,
        }
        self.transport: httpx.AsyncBaseTransport = AiohttpTransport(
            max_connections=settings.UPSTREAM_MAX_CONNECTIONS
        )
        self.limits = RequestLimits(max_counters=10 * settings.DIRECTORY_MAX_TOKENS)
        self.directory = Directory(
            self._load, max_tokens=settings.DIRECTORY_MAX_TOKENS, ttl_seconds=settings.DIRECTORY_TTL_SECONDS
        )
        self._loop = asyncio.get_running_loop()
        self._access_log = AccessLog(self._loop)
        self._loaders = ThreadPoolExecutor(LOADER_THREADS, thread_name_prefix="directory")
        self._poller = ChangePoller(self._changed, interval_seconds=settings.DIRECTORY_POLL_SECONDS)
        self._ledger = Ledger(
            batch_seconds=settings.LEDGER_BATCH_SECONDS,
            max_pending=settings.LEDGER_MAX_PENDING,
            on_written=lambda counts: self._on_loop(self.limits.written, counts),
        )

    @classmethod
    def current(cls) -> "Runtime":
        """This process's runtime, started if it is not yet. Call on the event loop."""
        if cls._current is None:
            cls._current = cls()
            cls._current._poller.start()
            cls._current._ledger.start()
        return cls._current

    @classmethod
    async def stop_current(cls) -> None:
        """Close connections, end the threads, and write what the ledger holds."""
        if cls._current is None:
            return
        runtime, cls._current = cls._current, None
        await runtime.transport.aclose()
        runtime._access_log.flush()
        await runtime._loop.run_in_executor(None, runtime._stop_threads)

    def record(self, entry: UsageEntry) -> None:
        """A finished request: into the log, and into the ledger if it came with a token that we know."""
        self._access_log.write(entry)
        if entry.token_id is not None:
            self._ledger.record(entry)

    def _stop_threads(self) -> None:
        self._poller.stop()
        unwritten = self._ledger.stop()
        self._loaders.shutdown(wait=False, cancel_futures=True)
        if unwritten:
            log.error("usage records could not be written before the end", dropped=unwritten)

    async def _load(self, digest: str) -> Grant | None:
        return await self._loop.run_in_executor(self._loaders, _load_grant, digest)

    def _changed(self, changes: Changes) -> None:
        self._on_loop(self.directory.apply, changes)

    def _on_loop(self, function: Callable[[Any], None], argument: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, argument)


def _load_grant(digest: str) -> Grant | None:
    try:
        return load_grant(digest)
    except Error as problem:
        log.error("access tokens cannot be read", error=str(problem))
        connection.close()
        raise DirectoryUnavailableError from None
