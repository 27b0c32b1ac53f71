"""Daphne with what it lacks: streamed request bodies, backpressure, and a graceful end."""

import asyncio
from functools import partial
from typing import Any

import structlog
from daphne.server import Server
from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString
from twisted.logger import globalLogBeginner

from llm_proxy_site.server.daphne.factory import StreamingFactory
from llm_proxy_site.server.daphne.listening import adopt
from llm_proxy_site.server.daphne.streaming_request import StreamingRequest
from llm_proxy_site.server.daphne.websocket import ClientSocket, socket_factory
from llm_proxy_site.server.request_body import RequestBody
from llm_proxy_site.server.service import BACKLOG, Duties, Service, calm_the_collector
from llm_proxy_site.server.socket_messages import PING_SECONDS, PONG_SECONDS
from proxy.types import Message, Scope, Send

log = structlog.get_logger("server")


class ProxyServer(Service, Server):
    def __init__(self, application: Any, duties: Duties, **options: Any) -> None:
        """The options are Daphne's."""
        options.setdefault("application_close_timeout", duties.max_drain_seconds)
        Service.__init__(self, duties)
        Server.__init__(
            self,
            application,
            server_name="",
            ping_interval=PING_SECONDS,
            ping_timeout=PONG_SECONDS,
            **options,
        )
        self._ports: list[Any] = []

    def run(self) -> None:
        self.connections: dict[Any, dict[str, Any]] = {}
        self.http_factory = StreamingFactory(self, self.clients)
        self.ws_factory = socket_factory(self, self.duties.max_socket_message_bytes)
        globalLogBeginner.beginLoggingTo([_log_failure], redirectStandardIO=False, discardBuffer=True)
        asyncio.set_event_loop(self.loop)
        if self.signal_handlers:
            self.take_signals()  # before anybody is told that we are ready for them
        reactor.callLater(0, self.duties.on_start)
        reactor.callLater(1, self.application_checker)
        reactor.callLater(2, self.timeout_checker)
        self._listen()
        if not self.failure:
            calm_the_collector()
            reactor.run(installSignalHandlers=False)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        loop: asyncio.AbstractEventLoop = reactor._asyncioEventloop
        return loop

    def create_application(self, protocol: Any, scope: Scope) -> Any:
        """Start the application for a request. What is returned is where Daphne puts its messages."""
        scope.setdefault("asgi", {"version": "3.0"})
        send = partial(self.handle_reply, protocol)
        if isinstance(protocol, ClientSocket):
            scope["raw_path"] = protocol.target.split(b"?", 1)[0]
            scope["extensions"] = {"websocket.http.response": {}}
            task = self.start(self.run_socket(protocol, scope, protocol.messages.receive, send))
            self.connections[protocol]["application_instance"] = task
            return protocol.messages
        body = protocol.body
        assert isinstance(body, RequestBody)
        scope["extensions"] = {"llm_proxy.hangup": body.tell_hangup, "llm_proxy.write": protocol.write_on}
        task = self.start(self._run_application(protocol, scope, body, send))
        self.connections[protocol]["application_instance"] = task
        return body

    async def _run_application(
        self, protocol: StreamingRequest, scope: Scope, body: RequestBody, send: Send
    ) -> None:
        await self.run_request(protocol, scope, body.receive, send)
        if protocol.finished:
            # Daphne would keep all that ended within a second, and look at each.
            self.connections.pop(protocol, None)

    def protocol_disconnected(self, protocol: Any) -> None:
        # A connection that lingers may outlive Daphne's memory of its request.
        if protocol in self.connections:
            super().protocol_disconnected(protocol)

    async def handle_reply(self, protocol: ClientSocket | StreamingRequest, message: Message) -> None:
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
        if reactor.running:
            reactor.stop()

    def stop_listening(self) -> None:
        for port in self._ports:
            port.stopListening()

    def _listen(self) -> None:
        if self.duties.supervision is not None:
            self._listens(adopt(self.duties.supervision.listening_descriptor, self.http_factory))
            return
        for description in self.endpoints:
            endpoint = serverFromString(reactor, f"{description}:backlog={BACKLOG}")
            endpoint.listen(self.http_factory).addCallbacks(self._listens, self._cannot_listen)

    def _listens(self, port: Any) -> None:
        self._ports.append(port)
        self.listen_success(port)
        host = port.getHost()
        self.listens(host.host, host.port)

    def _cannot_listen(self, failure: Any) -> None:
        self.failure = failure.getErrorMessage()
        self.stop()


def _log_failure(event: dict[str, Any]) -> None:
    """Twisted's own log: only what went wrong."""
    failure = event.get("log_failure") or event.get("failure")
    if failure is not None:
        log.error("server error", error=failure.getErrorMessage(), traceback=failure.getTraceback())
