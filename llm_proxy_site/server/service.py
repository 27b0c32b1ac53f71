"""What every server of ours does around its event loop: it runs applications, takes signals, and ends.

SIGTERM and SIGINT stop accepting, let running requests end up to a limit, close what the data plane holds
(which flushes the ledger), and leave `run` normally. A second signal ends it at once. SIGHUP reloads.
A worker has a supervisor that tells it the same, and when to make room for its successor.
"""

import asyncio
import gc
import signal
import time
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from llm_proxy_site.server import lifecycle
from llm_proxy_site.server.client_limits import DEFAULT_LIMITS, ClientLimits
from llm_proxy_site.server.connections import Connections
from llm_proxy_site.server.draining import Draining
from llm_proxy_site.server.orders import Grace, Order
from llm_proxy_site.server.supervision import Supervision
from proxy.types import Receive, Scope, Send

BACKLOG = 1024
"""Connections that wait to be accepted. The usual 50 or 100 are fewer than come at once when many clients
start, and what comes beyond is dropped or reset.
"""
FLUSH_SECONDS = 0.1
"""For what was said last to those who were cut off, such as the close frames of WebSockets."""
TELL_SECONDS = 1.5
"""For those who are cut off to be told why: streams come to the end of an event first (`proxy/client.py`)."""
CANCEL_SECONDS = 5.0
"""For requests that are cancelled to end: a thread that waits for the database cannot be."""
USUAL_GRACE = Grace(stop=30.0)
GC_THRESHOLD = 20_000
"""Objects made before a young collection; a request makes some hundreds and leaves hardly any cycle."""

log = structlog.get_logger("server")


@dataclass(frozen=True, slots=True, kw_only=True)
class Duties:
    """What a server does besides serving, whom it tells, and what it grants to clients."""

    grace: Grace = USUAL_GRACE
    supervision: Supervision | None = None
    on_ready: Callable[[str, int], object] = lambda host, port: None
    """Gets the address that is listened on."""
    on_start: Callable[[], object] = lambda: None
    """Called once the event loop runs."""
    on_drain: Callable[[], object] = lambda: None
    """Called when the server is about to end."""
    on_cut_off: Callable[[], object] = lambda: None
    """Called when it waits no longer for what runs, which may tell its clients so before it is cancelled."""
    on_stop: Callable[[], Awaitable[None]] | None = None
    """After the last request."""
    on_reload: Callable[[], Awaitable[None]] | None = None
    """At each SIGHUP, one after the other."""
    max_drain_seconds: float = 10.0
    """How long a request may go on whose client has left. Only Daphne needs to know: it ends those."""
    max_socket_message_bytes: int = 32 * 1024 * 1024
    client_limits: ClientLimits = DEFAULT_LIMITS


class Answering(Protocol):
    """The server's side of one request."""

    def handle_exception(self, exception: Exception) -> None:
        """The application has failed. An answer that has begun must not look whole."""


class Talking(Protocol):
    """The server's side of one WebSocket."""

    def end(self) -> None:
        """The application has ended. One that left without closing has failed."""


class Service:
    application: Any

    def __init__(self, duties: Duties) -> None:
        self.duties = duties
        self.clients = Connections(duties.client_limits)
        self.running: set[asyncio.Task[None]] = set()
        """The applications of requests and WebSockets."""
        self.has_failed = False
        """Whether the end was not as it should be; the log says why."""
        self.failure = ""
        """Why `run` could not listen; empty if it could."""
        self._reloading = asyncio.Lock()
        self._reloads: set[asyncio.Task[None]] = set()
        self._draining: Draining | None = None
        self._ending: asyncio.Task[None] | None = None

    @abstractmethod
    def run(self) -> None:
        """Until the server has ended: see `failure` and `has_failed`."""

    @property
    @abstractmethod
    def loop(self) -> asyncio.AbstractEventLoop: ...

    @abstractmethod
    def stop(self) -> None:
        """End at once."""

    @abstractmethod
    def stop_listening(self) -> None: ...

    def start(self, application: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self.loop.create_task(application)
        self.running.add(task)
        task.add_done_callback(self.running.discard)
        return task

    async def run_request(self, answering: Answering, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.application(scope, receive, send)
        except ConnectionAbortedError as problem:
            # The application's way to say that the answer cannot be completed.
            answering.handle_exception(problem)
        except Exception as problem:  # the application's edge
            log.exception("application failed")
            answering.handle_exception(problem)

    async def run_socket(self, talking: Talking, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.application(scope, receive, send)
        except Exception:  # the application's edge
            log.exception("application failed")
        finally:
            talking.end()

    def listens(self, host: str, port: int) -> None:
        self.duties.on_ready(host, port)
        if self.duties.supervision is not None:
            self.duties.supervision.say_ready(self.duties.grace)

    def take_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self.loop.add_signal_handler(number, self._signalled)
        if self.duties.on_reload is not None:
            self.loop.add_signal_handler(signal.SIGHUP, self._reload_soon)
        if self.duties.supervision is not None:
            self.duties.supervision.listen(self.loop, self._ordered, self._orphaned)

    async def _drain(self, draining: Draining) -> None:
        """Stop accepting, let what runs end, close the data plane, and leave `run`: whatever fails of it."""
        lifecycle.begin_leaving()
        try:
            await self._let_clients_go(draining)
        except Exception:  # the data plane is closed all the same
            self.has_failed = True
            log.exception("clients could not be waited for")
        try:
            if self.duties.on_stop is not None:
                await self.duties.on_stop()
        except Exception:  # the process ends all the same, and its exit code tells
            self.has_failed = True
            log.exception("the data plane could not be closed")
        finally:
            self.stop()

    async def _let_clients_go(self, draining: Draining) -> None:
        self.stop_listening()
        if not await draining.calmly():
            await self._drain_quickly(draining)

    async def _drain_quickly(self, draining: Draining) -> None:
        lifecycle.begin_draining()
        self.duties.on_drain()
        if not await draining.quickly():
            grace_seconds = self.duties.grace.stop
            log.warning("requests were cut off", requests=len(self.running), grace_seconds=grace_seconds)
            await self._cut_off()

    async def _cut_off(self) -> None:
        lifecycle.begin_cutting_off()
        self.clients.close_quiet(before=time.monotonic())
        self.duties.on_cut_off()
        if self.running:
            await asyncio.wait(list(self.running), timeout=TELL_SECONDS)
        await self._cancel_running()

    async def _cancel_running(self) -> None:
        running = list(self.running)
        for task in running:
            task.cancel()
        if running:
            _, stuck = await asyncio.wait(running, timeout=CANCEL_SECONDS)
            if stuck:
                log.error("requests do not end, nobody waits for them any more", requests=len(stuck))
        await asyncio.sleep(FLUSH_SECONDS)

    def _reload_soon(self) -> None:
        task = self.loop.create_task(self._reload())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def _reload(self) -> None:
        assert self.duties.on_reload is not None
        async with self._reloading:
            await self.duties.on_reload()

    def _signalled(self) -> None:
        # A worker's second signal may come from who signals all processes of a service.
        is_ending = self._draining is not None and self._draining.in_hurry
        if self.duties.supervision is None and is_ending:
            for number in (signal.SIGTERM, signal.SIGINT):
                self.loop.remove_signal_handler(number)  # a third one kills
            self.stop()
        else:
            self._end()

    def _ordered(self, order: Order) -> None:
        if order is Order.QUIT:
            self.stop()
        else:
            self._end(in_hurry=order is not Order.RETIRE)

    def _orphaned(self) -> None:
        if self._draining is None:
            log.error("the supervisor is gone")
        self._end()

    def _end(self, *, in_hurry: bool = True) -> None:
        """Begin to drain: in a hurry, or while others take the new clients. A hurry may come later."""
        if self._draining is None:
            grace = self.duties.grace
            seconds = grace.stop if in_hurry else grace.restart
            log.info("stopping", requests=len(self.running), grace_seconds=seconds)
            self._draining = Draining(self.clients, self.running, grace, in_hurry=in_hurry)
            self._ending = self.loop.create_task(self._drain(self._draining))
        elif in_hurry:
            self._draining.in_hurry = True


def calm_the_collector() -> None:
    """What start-up made lives as long as the process: the collector need not walk it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 50)
