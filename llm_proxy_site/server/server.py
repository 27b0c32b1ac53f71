"""Daphne with what it lacks: streamed request bodies, backpressure, and a graceful end.

SIGTERM and SIGINT stop accepting, let running requests end up to a limit, close what the data plane holds
(which flushes the ledger), and leave `run` normally. A second signal ends it at once. SIGHUP reloads.
A worker has a supervisor that tells it the same, and when to make room for its successor.
"""

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import structlog
from daphne.server import Server
from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString
from twisted.logger import globalLogBeginner

from llm_proxy_site.server import lifecycle
from llm_proxy_site.server.client_limits import DEFAULT_LIMITS, ClientLimits
from llm_proxy_site.server.draining import Draining
from llm_proxy_site.server.factory import StreamingFactory
from llm_proxy_site.server.listening import adopt
from llm_proxy_site.server.orders import Grace, Order
from llm_proxy_site.server.request_body import RequestBody
from llm_proxy_site.server.streaming_request import StreamingRequest
from llm_proxy_site.server.supervision import Supervision
from llm_proxy_site.server.websocket import ClientSocket, socket_factory
from proxy.types import Message, Scope

BACKLOG = 1024
"""Connections that wait to be accepted. Twisted's 50 are fewer than come at once when many clients start, and
what comes beyond is dropped or reset.
"""
FLUSH_SECONDS = 0.1
"""For what was said last to those who were cut off, such as the close frames of WebSockets."""
CANCEL_SECONDS = 5.0
"""For requests that are cancelled to end: a thread that waits for the database cannot be."""
USUAL_GRACE = Grace(stop=30.0)
GC_THRESHOLD = 20_000
"""Objects made before a young collection; a request makes some hundreds and leaves hardly any cycle."""

log = structlog.get_logger("server")


class ProxyServer(Server):
    def __init__(
        self,
        application: Any,
        *,
        grace: Grace = USUAL_GRACE,
        supervision: Supervision | None = None,
        on_ready: Callable[[str, int], None] = lambda host, port: None,
        on_start: Callable[[], object] = lambda: None,
        on_drain: Callable[[], None] = lambda: None,
        on_stop: Callable[[], Awaitable[None]] | None = None,
        on_reload: Callable[[], Awaitable[None]] | None = None,
        max_socket_message_bytes: int = 32 * 1024 * 1024,
        client_limits: ClientLimits = DEFAULT_LIMITS,
        **options: Any,
    ) -> None:
        """`on_ready` gets the address that is listened on; `on_start` is called once the event loop runs,
        `on_drain` when the server is about to end, `on_stop` runs after the last request, `on_reload` at each
        SIGHUP, one after the other.
        """
        super().__init__(application, server_name="", **options)
        self._grace = grace
        self._supervision = supervision
        self._on_ready = on_ready
        self._on_start = on_start
        self._on_drain = on_drain
        self._on_stop = on_stop
        self._on_reload = on_reload
        self._reloading = asyncio.Lock()
        self._reloads: set[asyncio.Task[None]] = set()
        self._max_socket_message_bytes = max_socket_message_bytes
        self._client_limits = client_limits
        self._ports: list[Any] = []
        self.running: set[asyncio.Task[None]] = set()
        """The applications of requests and WebSockets."""
        self._draining: Draining | None = None
        self._ending: asyncio.Task[None] | None = None
        self.has_failed = False
        """Whether the end was not as it should be; the log says why."""
        self.failure = ""
        """Why `run` could not listen; empty if it could."""

    def run(self) -> None:
        self.connections: dict[Any, dict[str, Any]] = {}
        self.http_factory = StreamingFactory(self, self._client_limits)
        self.ws_factory = socket_factory(self, self._max_socket_message_bytes)
        globalLogBeginner.beginLoggingTo([_log_failure], redirectStandardIO=False, discardBuffer=True)
        asyncio.set_event_loop(reactor._asyncioEventloop)
        if self.signal_handlers:
            self._take_signals()  # before anybody is told that we are ready for them
        reactor.callLater(0, self._on_start)
        reactor.callLater(1, self.application_checker)
        reactor.callLater(2, self.timeout_checker)
        self._listen()
        if not self.failure:
            _calm_the_collector()
            reactor.run(installSignalHandlers=False)

    def create_application(self, protocol: Any, scope: Scope) -> Any:
        """Start the application for a request. What is returned is where Daphne puts its messages."""
        scope.setdefault("asgi", {"version": "3.0"})
        if isinstance(protocol, ClientSocket):
            scope["raw_path"] = protocol.target.split(b"?", 1)[0]
            scope["extensions"] = {"websocket.http.response": {}}
            self._start(protocol, self._run_socket(protocol, scope))
            return protocol.messages
        body = protocol.body
        assert isinstance(body, RequestBody)
        scope["extensions"] = {"llm_proxy.hangup": body.tell_hangup, "llm_proxy.write": protocol.write_on}
        self._start(protocol, self._run_application(protocol, scope, body))
        return body

    def protocol_disconnected(self, protocol: Any) -> None:
        # A connection that lingers may outlive Daphne's memory of its request.
        if protocol in self.connections:
            super().protocol_disconnected(protocol)

    async def handle_reply(self, protocol: Any, message: Message) -> None:
        # Daphne would look at each header's type: what is not bytes fails anyway.
        connection = self.connections.get(protocol)
        if connection is None or connection.get("disconnected"):
            return
        protocol.handle_reply(message)
        if isinstance(protocol, ClientSocket):
            if message["type"] == "websocket.send":
                await protocol.gate.passed()
        elif message.get("more_body") and not protocol.finished and protocol.channel is not None:
            await protocol.hold_writes().passed()

    def stop(self) -> None:
        """End at once."""
        if reactor.running:
            reactor.stop()

    async def _drain(self, draining: Draining) -> None:
        """Stop accepting, let what runs end, close the data plane, and leave `run`: whatever fails of it."""
        lifecycle.begin_leaving()
        try:
            await self._let_clients_go(draining)
        except Exception:  # the data plane is closed all the same
            self.has_failed = True
            log.exception("clients could not be waited for")
        try:
            if self._on_stop is not None:
                await self._on_stop()
        except Exception:  # the process ends all the same, and its exit code tells
            self.has_failed = True
            log.exception("the data plane could not be closed")
        finally:
            self.stop()

    async def _let_clients_go(self, draining: Draining) -> None:
        for port in self._ports:
            port.stopListening()
        if not await draining.calmly():
            await self._drain_quickly(draining)

    async def _drain_quickly(self, draining: Draining) -> None:
        lifecycle.begin_draining()
        self._on_drain()
        if not await draining.quickly():
            log.warning("requests were cut off", requests=len(self.running), grace_seconds=self._grace.stop)
            await self._cancel_running()

    def _start(self, protocol: Any, application: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(application)
        self.running.add(task)
        task.add_done_callback(self.running.discard)
        self.connections[protocol]["application_instance"] = task

    async def _run_socket(self, protocol: ClientSocket, scope: Scope) -> None:
        try:
            await self.application(scope, protocol.messages.receive, partial(self.handle_reply, protocol))
        except Exception:  # the application's edge
            log.exception("application failed")
        finally:
            protocol.end()

    async def _run_application(self, protocol: StreamingRequest, scope: Scope, body: RequestBody) -> None:
        try:
            await self.application(scope, body.receive, partial(self.handle_reply, protocol))
        except ConnectionAbortedError as problem:
            # The application's way to say that the answer cannot be completed.
            protocol.handle_exception(problem)
        except Exception as problem:  # the application's edge
            log.exception("application failed")
            protocol.handle_exception(problem)
        if protocol.finished:
            # Daphne would keep all that ended within a second, and look at each.
            self.connections.pop(protocol, None)

    async def _cancel_running(self) -> None:
        running = list(self.running)
        for task in running:
            task.cancel()
        if running:
            _, stuck = await asyncio.wait(running, timeout=CANCEL_SECONDS)
            if stuck:
                log.error("requests do not end, nobody waits for them any more", requests=len(stuck))
        await asyncio.sleep(FLUSH_SECONDS)

    def _take_signals(self) -> None:
        loop = reactor._asyncioEventloop
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        if self._on_reload is not None:
            loop.add_signal_handler(signal.SIGHUP, self._reload_soon)
        if self._supervision is not None:
            self._supervision.listen(loop, self._ordered, self._orphaned)

    def _reload_soon(self) -> None:
        task = reactor._asyncioEventloop.create_task(self._reload())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def _reload(self) -> None:
        assert self._on_reload is not None
        async with self._reloading:
            await self._on_reload()

    def _signalled(self) -> None:
        # A worker's second signal may come from who signals all processes of a service.
        if self._supervision is None and self._draining is not None and self._draining.in_hurry:
            for number in (signal.SIGTERM, signal.SIGINT):
                reactor._asyncioEventloop.remove_signal_handler(number)  # a third one kills
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
            seconds = self._grace.stop if in_hurry else self._grace.restart
            log.info("stopping", requests=len(self.running), grace_seconds=seconds)
            self._draining = Draining(self, self._grace, in_hurry=in_hurry)
            self._ending = reactor._asyncioEventloop.create_task(self._drain(self._draining))
        elif in_hurry:
            self._draining.in_hurry = True

    def _listen(self) -> None:
        if self._supervision is not None:
            self._listens(adopt(self._supervision.listening_descriptor, self.http_factory))
            return
        for description in self.endpoints:
            endpoint = serverFromString(reactor, f"{description}:backlog={BACKLOG}")
            endpoint.listen(self.http_factory).addCallbacks(self._listens, self._cannot_listen)

    def _listens(self, port: Any) -> None:
        self._ports.append(port)
        self.listen_success(port)
        host = port.getHost()
        self._on_ready(host.host, host.port)
        if self._supervision is not None:
            self._supervision.say_ready(self._grace)

    def _cannot_listen(self, failure: Any) -> None:
        self.failure = failure.getErrorMessage()
        self.stop()


def _calm_the_collector() -> None:
    """What start-up made lives as long as the process: the collector need not walk it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 50)


def _log_failure(event: dict[str, Any]) -> None:
    """Twisted's own log: only what went wrong."""
    failure = event.get("log_failure") or event.get("failure")
    if failure is not None:
        log.error("server error", error=failure.getErrorMessage(), traceback=failure.getTraceback())
