"""HTTP/1.1 for Daphne, with the request's body as a stream: never whole in memory.

Daphne (Twisted) calls the application when all of the body has arrived, and then hands it over at once.
Here the application starts with the headers and reads the body as it comes; while it does not read, the
socket is paused.
"""

import time
from collections.abc import Iterator
from http import HTTPStatus
from io import BytesIO
from typing import Any

from daphne.http_protocol import WebRequest
from twisted.internet.defer import inlineCallbacks
from twisted.web import http
from twisted.web.iweb import INonQueuedRequestFactory
from zope.interface import provider

from llm_proxy_site.server import lifecycle
from llm_proxy_site.server.client_limits import ClientLimits
from llm_proxy_site.server.departure import has_left
from llm_proxy_site.server.framing import StrictChannel
from llm_proxy_site.server.gate import WriteGate
from llm_proxy_site.server.outlet import Outlet
from llm_proxy_site.server.patience import HeadClock, Turn
from llm_proxy_site.server.request_body import RequestBody

MAX_PAUSE_SECONDS = 600.0
"""How long an upload may stand still because nobody takes it on."""

_PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}


@provider(INonQueuedRequestFactory)
class StreamingRequest(WebRequest):
    """Daphne's request, started with its headers and fed with its body afterwards."""

    body: RequestBody | None = None
    gate: WriteGate | None = None

    def gotLength(self, length: int | None) -> None:
        """The headers are complete; `length` is the body's, None if it is chunked."""
        self.content = BytesIO()  # Daphne reads the body from here: it finds none
        channel = self.channel
        self.body = RequestBody(channel.pause_reading, channel.resume_reading)
        if length == 0:
            self.body.end()  # `requestReceived` follows at once
        else:
            self._begin(channel._command, channel._path, channel._version)

    def handleContentChunk(self, data: bytes) -> None:
        assert self.body is not None
        self.body.feed(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        assert self.body is not None
        if self.method == b"(no method yet)":
            self._begin(command, path, version)
        else:
            self.body.end()

    def send_continue(self) -> None:
        """Tell a client that waits with its body to send it: no sooner than somebody wants it."""
        assert self.body is not None
        self.body.on_awaited = self._say_continue

    def _say_continue(self) -> None:
        if not self._response_started and self.channel is not None:
            self.channel.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _begin(self, command: bytes, uri: bytes, version: bytes) -> None:
        # What Request.requestReceived does, but for the parsing of forms: that would read the body whole.
        self.method, self.uri, self.clientproto = command, uri, version
        self.path = uri.split(b"?", 1)[0]
        self.requestHeaders.removeHeader(b"daphne-root-path")  # Daphne would believe any client
        self.process()

    @inlineCallbacks  # type: ignore[untyped-decorator]
    def process(self) -> Iterator[Any]:
        channel = self.channel
        yield super().process()
        if self.transport is None:
            channel.upgraded()

    def setResponseCode(self, code: int, message: bytes | None = None) -> None:
        """With the reason phrase of all statuses; Twisted does not know the newer ones, 429 among them."""
        super().setResponseCode(code, message or _PHRASES.get(code))

    def basic_error(self, status: int, status_text: bytes, body: str) -> None:
        """Daphne's own answers: to a request that it does not like, and for an application that failed."""
        if status == HTTPStatus.BAD_REQUEST:
            self.channel.refuse(status, f"{body}.")
        else:
            super().basic_error(status, status_text, body)

    def handle_reply(self, message: dict[str, Any]) -> None:
        if self.channel is not None and self.channel.is_refused:
            return
        if self.method == b"HEAD" and message.get("body"):
            message = {**message, "body": b""}  # it would be taken for the beginning of the next answer
        super().handle_reply(message)
        if message["type"] != "http.response.start" or self.finished or self.channel is None:
            return
        if self.channel.is_receiving:
            self.channel.persistent = False  # the answer comes before the body's end
        elif not self.channel.may_stay:
            self.channel.persistent = False  # since its request has come
        if not self.channel.persistent:
            self.responseHeaders.setRawHeaders(b"connection", [b"close"])
        http.Request.write(self, b"")  # the headers go out now, not with the first byte of the body

    def hold_writes(self) -> WriteGate:
        """The gate that is closed while the client does not read."""
        if self.gate is None:
            self.gate = WriteGate()
            self.registerProducer(self.gate, True)
        return self.gate

    def finish(self) -> None:
        if self.gate is not None:
            self.unregisterProducer()
            self.gate = None
        super().finish()

    def handle_exception(self, exception: Exception) -> None:
        """The application failed. A started answer must not look whole."""
        if self.finished or self.channel is None:
            return
        if not self._response_started:
            super().handle_exception(exception)
        else:
            self.break_off()

    def break_off(self) -> None:
        """End the connection in the midst of the answer."""
        if self.chunked or self.responseHeaders.hasHeader(b"content-length"):
            self.channel.close_unfinished()
        else:
            self.channel.transport.abortConnection()  # for HTTP/1.0 a clean end would be the answer's end


class StreamingChannel(StrictChannel):
    """One connection. Knows whether a body is still coming in, and closes politely when it is unwanted."""

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
