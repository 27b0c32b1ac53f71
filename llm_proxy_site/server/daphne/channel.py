"""One connection that speaks HTTP/1.1, on Twisted's: what is waited for on it, and how it ends."""

import time
from typing import Any

from llm_proxy_site.server import lifecycle
from llm_proxy_site.server.client_limits import ClientLimits
from llm_proxy_site.server.connection import ClientConnection, says_close
from llm_proxy_site.server.daphne.framing import StrictChannel
from llm_proxy_site.server.daphne.outlet import Outlet
from llm_proxy_site.server.daphne.streaming_request import StreamingRequest
from llm_proxy_site.server.patience import Turn
from llm_proxy_site.server.request_body import RequestBody
from llm_proxy_site.server.request_head import RequestHead


class StreamingChannel(StrictChannel, ClientConnection):
    """Knows whether a body is still coming in, and closes politely when it is unwanted."""

    requestFactory = StreamingRequest

    @property
    def is_idle(self) -> bool:
        return not self.requests or self.requests[0].body is None

    @property
    def has_begun(self) -> bool:
        return bool(self.requests) or self.heads.has_begun

    @property
    def is_receiving(self) -> bool:
        """Whether the current request's body has not ended yet."""
        return bool(self.requests) and self.length != 0

    @property
    def body(self) -> RequestBody | None:
        return self.requests[-1].body if self.requests else None

    @property
    def handle(self) -> Any:
        return self.transport.getHandle()

    def connectionMade(self) -> None:
        super().connectionMade()
        # Twisted would ask the system, and make an address of the answer, four times for each request.
        self._peer, self._own_address = self.transport.getPeer(), self.transport.getHost()
        self._outlet = Outlet(self.transport)
        self.begin_waiting(self._peer.host)
        self.factory.opened(self)

    def getPeer(self) -> Any:
        return self._peer

    def getHost(self) -> Any:
        return self._own_address

    def dataReceived(self, data: bytes) -> None:
        if self.clock.turn is Turn.IDLE:
            self.clock.change(Turn.HEAD, time.monotonic())
        super().dataReceived(data)

    def head_received(self, head: RequestHead) -> None:
        self.clock.change(Turn.SERVER, 0)
        super().head_received(head)

    def connectionLost(self, reason: Any) -> None:
        self.factory.clients.closed(self, self.host)
        super().connectionLost(reason)
        # Twisted's rings: with them, and what was read of a body, all would wait for the collector.
        self.requests.clear()
        self._transferDecoder = None

    def upgraded(self) -> None:
        """The connection speaks WebSocket now, and is no longer this channel's."""
        self.factory.clients.upgraded(self)

    @property
    def may_stay(self) -> bool:
        """Whether the connection can be kept for another request. Those that were sent ahead are answered."""
        return self.is_wanted(self.factory.clients) or bool(self._dataBuffer)

    def is_stalled(self, now: float, limits: ClientLimits) -> bool:
        return self._outlet.is_stalled(now, limits)

    def close(self) -> None:
        self.loseConnection()

    def abort(self) -> None:
        self.transport.abortConnection()

    def send(self, data: bytes) -> None:
        """As soon as the system takes it."""
        self._outlet.send(data)

    def allContentReceived(self) -> None:
        super().allContentReceived()
        if self._lingering is not None:
            self.loseConnection()

    def persists(self, head: RequestHead) -> bool:
        return super().persists(head) and self.is_wanted(self.factory.clients) and not says_close(head)

    def requestDone(self, request: StreamingRequest) -> None:
        if not self.is_receiving:
            self.paused_since = None  # reading goes on, whatever was not taken of the body
            self.clock.change(Turn.IDLE, time.monotonic())
            self.persistent = self.persistent and not lifecycle.is_cutting_off()
            super().requestDone(request)
            return
        # Closing now, with unread data in the socket, would reset the connection and could take our answer
        # from the client. Read on for a moment, and forget what comes.
        assert request.body is not None
        self.persistent = False
        self.linger(self.loseConnection)
        request.body.discard()

    def request_refused(self) -> bool:
        """The application, if it runs already, takes it for a hang-up."""
        request = self.requests[-1] if self.requests else None
        if request is None or request.body is None:
            return True
        request.body.put_nowait({"type": "http.disconnect"})
        return not request._response_started

    def break_off(self) -> None:
        self.requests[-1].break_off()

    def close_unfinished(self) -> None:
        """After what has been written, if the client takes it in time; it misses the rest."""
        self.linger(self.transport.abortConnection)
        self.loseConnection()

    def read_no_more(self) -> None:
        self._networkProducer.pauseProducing()

    def read_on(self) -> None:
        self._networkProducer.resumeProducing()
