"""One connection that speaks HTTP/1.1: what is waited for on it, and how it ends."""

import time
from typing import Any

from llm_proxy_site.server import lifecycle
from llm_proxy_site.server.client_limits import ClientLimits
from llm_proxy_site.server.departure import has_left
from llm_proxy_site.server.framing import StrictChannel
from llm_proxy_site.server.outlet import Outlet
from llm_proxy_site.server.patience import HeadClock, Turn
from llm_proxy_site.server.streaming_request import StreamingRequest

MAX_PAUSE_SECONDS = 600.0
"""How long an upload may stand still because nobody takes it on."""


class StreamingChannel(StrictChannel):
    """Knows whether a body is still coming in, and closes politely when it is unwanted."""

    requestFactory = StreamingRequest

    @property
    def is_idle(self) -> bool:
        """Whether no request has begun that was not answered."""
        return not self.requests or self.requests[0].body is None

    @property
    def is_receiving(self) -> bool:
        """Whether the current request's body has not ended yet."""
        return bool(self.requests) and self.length != 0

    def connectionMade(self) -> None:
        super().connectionMade()
        self._clock = HeadClock(time.monotonic())
        self._outlet = Outlet(self.transport)
        self._paused_since: float | None = None
        self._host: str = self.transport.getPeer().host
        self.factory.opened(self)

    def dataReceived(self, data: bytes) -> None:
        if self._clock.turn is Turn.IDLE:
            self._clock.change(Turn.HEAD, time.monotonic())
        super().dataReceived(data)

    def allHeadersReceived(self) -> None:
        self._clock.change(Turn.SERVER, 0)
        super().allHeadersReceived()

    def connectionLost(self, reason: Any) -> None:
        self.factory.closed(self, self._host)
        super().connectionLost(reason)
        # Twisted's rings: with them, and what was read of a body, all would wait for the collector.
        self.requests.clear()
        self._transferDecoder = None

    def upgraded(self) -> None:
        """The connection speaks WebSocket now, and is no longer this channel's."""
        self.factory.upgraded(self)

    @property
    def may_stay(self) -> bool:
        """Whether the connection can be kept for another request. Those that were sent ahead are answered."""
        is_wanted = not lifecycle.is_leaving() and not self.factory.places.are_scarce(self._host)
        return is_wanted or bool(self._dataBuffer)

    def is_quiet_since(self, before: float) -> bool:
        """Nothing of a request has come since it was opened, or its last one ended (`time.monotonic`)."""
        has_begun = not self.is_refused and (self.requests or self._buffer)
        return self.is_idle and not has_begun and self._clock.since <= before

    @property
    def idle_since(self) -> float | None:
        """None: a request is under way, or its head."""
        return self._clock.since if self._clock.turn is Turn.IDLE else None

    def end_if_late(self, now: float, limits: ClientLimits) -> None:
        """The client has had its time, for what it is waited for."""
        if self._outlet.is_stalled(now, limits):
            self.transport.abortConnection()
        elif self.is_refused:
            return  # it lingers, for a moment
        elif self._clock.is_late(now, limits):
            self._end_head()
        elif self._paused_since is not None:
            if now - self._paused_since > MAX_PAUSE_SECONDS or has_left(self.transport.getHandle()):
                self.transport.abortConnection()
        elif self._awaits_body_for_too_long(now, limits):
            self.refuse(408, "The request's body did not come in time.")

    def _awaits_body_for_too_long(self, now: float, limits: ClientLimits) -> bool:
        body = self.requests[-1].body if self.requests else None
        return body is not None and body.clock.is_late(now, limits)

    def _end_head(self) -> None:
        if self.requests or self._buffer:
            self.refuse(408, "The request's headers did not come in time.")
        else:
            self.loseConnection()  # nothing has begun

    def send(self, data: bytes) -> None:
        """As soon as the system takes it."""
        self._outlet.send(data)

    def allContentReceived(self) -> None:
        super().allContentReceived()
        if self._lingering is not None:
            self.loseConnection()

    def checkPersistence(self, request: StreamingRequest, version: bytes) -> bool:
        """Whether the connection may serve another request after this one: not while the server stops, or
        places are scarce.
        """
        options = b",".join(request.requestHeaders.getRawHeaders(b"connection", ())).lower().split(b",")
        return (
            version == b"HTTP/1.1"
            and not lifecycle.is_leaving()
            and not self.factory.places.are_scarce(self._host)
            and b"close" not in [option.strip() for option in options]
        )

    def requestDone(self, request: StreamingRequest) -> None:
        if not self.is_receiving:
            self._paused_since = None  # reading goes on, whatever was not taken of the body
            self._clock.change(Turn.IDLE, time.monotonic())
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

    def _send100Continue(self) -> None:
        """Twisted would say it to everybody who asks."""
        self.requests[-1].send_continue()

    def close_unfinished(self) -> None:
        """After what has been written, if the client takes it in time; it misses the rest."""
        self.linger(self.transport.abortConnection)
        self.loseConnection()

    def pause_reading(self) -> None:
        # It is we who make the client wait, but not for ever: a paused socket does not tell of a hang-up.
        if self._paused_since is None:
            self._paused_since = time.monotonic()
        self._networkProducer.pauseProducing()

    def resume_reading(self) -> None:
        if self._paused_since is not None:
            self._paused_since = None
            self._networkProducer.resumeProducing()
