"""All connections of the server: how many there may be, and the end of those whose clients took too long.

Its one rule: where there is no room, nothing is accepted. Who waits to be accepted costs nothing.
"""

import time
from operator import attrgetter
from typing import Any

import structlog
from daphne.http_protocol import HTTPFactory
from twisted.internet import reactor
from twisted.web import http

from llm_proxy_site.server.channel import StreamingChannel
from llm_proxy_site.server.client_limits import ClientLimits
from llm_proxy_site.server.places import Places
from llm_proxy_site.server.streaming_request import StreamingRequest

LOOK_SECONDS = 0.5
"""How often all connections are looked at: one clock for all costs less than one for each."""
MAX_ACCEPTS = 64
"""About so many connections are accepted at a time: fewer than OVERSHOOT."""
MADE_ROOM = 64
"""Idle connections that are closed at a time for others."""

log = structlog.get_logger("server")


class StreamingFactory(HTTPFactory):
    protocol = StreamingChannel

    def __init__(self, server: Any, limits: ClientLimits) -> None:
        super().__init__(server)
        self.timeOut = None  # Twisted's, which every byte puts off
        self.limits = limits
        self.places = Places(limits)
        self.channels: set[StreamingChannel] = set()
        self._waiting_ports: set[Any] = set()
        self._is_looking = False

    def startFactory(self) -> None:
        super().startFactory()
        if not self._is_looking:
            self._is_looking = True
            reactor.callLater(LOOK_SECONDS, self._look)

    def log(self, request: StreamingRequest) -> None:
        """Nothing: Twisted makes a line for every request that nobody reads; proxy/access_log.py does it."""

    def buildProtocol(self, addr: Any) -> StreamingChannel | None:
        if not self.places.take(addr.host):
            return None
        return http.HTTPFactory.buildProtocol(self, addr)  # type: ignore[no-any-return]

    def opened(self, channel: StreamingChannel) -> None:
        self.channels.add(channel)
        port = channel.transport.server
        port.numberAccepts = min(port.numberAccepts, MAX_ACCEPTS)
        if self.places.is_full:
            self._wait_for_room(port)

    def upgraded(self, channel: StreamingChannel) -> None:
        """It is one of the WebSockets now, and keeps its place."""
        self.channels.discard(channel)

    def closed(self, connection: Any, host: str) -> None:
        self.channels.discard(connection)
        self.places.leave(host)
        if self._waiting_ports and not self.places.is_full:
            self._accept_again()

    def _wait_for_room(self, port: Any) -> None:
        if port not in self._waiting_ports:
            self._waiting_ports.add(port)
            port.stopReading()
            self._close_idle()

    def _accept_again(self) -> None:
        ports, self._waiting_ports = self._waiting_ports, set()
        for port in ports:
            if port.connected and not port.disconnecting:
                port.numberAccepts = min(max(1, self.places.left), MAX_ACCEPTS)
                port.startReading()

    def _close_idle(self) -> None:
        idle = [channel for channel in self.channels if channel.idle_since is not None]
        for channel in sorted(idle, key=attrgetter("idle_since"))[:MADE_ROOM]:
            channel.loseConnection()

    def _look(self) -> None:
        reactor.callLater(LOOK_SECONDS, self._look)  # first: whatever happens, it goes on
        now = time.monotonic()
        for connection in (*self.channels, *self.server.ws_factory.sockets):
            try:
                connection.end_if_late(now, self.limits)
            except Exception:
                log.exception("a connection cannot be looked at")  # the others can
        if self._waiting_ports:
            self._close_idle()  # those that were busy when the port began to wait
