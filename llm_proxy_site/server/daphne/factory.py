"""The connections of Daphne's server, made and counted."""

from typing import Any

from daphne.http_protocol import HTTPFactory
from twisted.internet import reactor
from twisted.web import http

from llm_proxy_site.server.connections import LOOK_SECONDS, MAX_ACCEPTS, Connections
from llm_proxy_site.server.daphne.channel import StreamingChannel
from llm_proxy_site.server.daphne.streaming_request import StreamingRequest


class StreamingFactory(HTTPFactory):
    protocol = StreamingChannel

    def __init__(self, server: Any, clients: Connections) -> None:
        super().__init__(server)
        self.timeOut = None  # Twisted's, which every byte puts off
        self.clients = clients
        self._is_looking = False

    def startFactory(self) -> None:
        super().startFactory()
        if not self._is_looking:
            self._is_looking = True
            reactor.callLater(LOOK_SECONDS, self._look)

    def log(self, request: StreamingRequest) -> None:
        """Nothing: Twisted makes a line for every request that nobody reads; proxy/access_log.py does it."""

    def buildProtocol(self, addr: Any) -> StreamingChannel | None:
        if not self.clients.places.take(addr.host):
            return None
        return http.HTTPFactory.buildProtocol(self, addr)  # type: ignore[no-any-return]

    def opened(self, channel: StreamingChannel) -> None:
        port = channel.transport.server
        port.numberAccepts = min(port.numberAccepts, MAX_ACCEPTS)
        self.clients.opened(channel)
        self.clients.look_for_room(PortListener(port))

    def _look(self) -> None:
        reactor.callLater(LOOK_SECONDS, self._look)  # first: whatever happens, it goes on
        self.clients.look()


class PortListener:
    """One of Twisted's ports, as `Connections` knows it."""

    def __init__(self, port: Any) -> None:
        self._port = port

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PortListener) and other._port is self._port

    def __hash__(self) -> int:
        return hash(self._port)

    def wait(self) -> None:
        self._port.stopReading()

    def accept_again(self, room: int) -> None:
        if self._port.connected and not self._port.disconnecting:
            self._port.numberAccepts = room
            self._port.startReading()
