"""One request of Daphne's, started with its headers and fed with its body afterwards: never whole in memory.

Daphne (Twisted) calls the application when all of the body has arrived, and then hands it over at once.
Here the application starts with the headers and reads the body as it comes; while it does not read, the
socket is paused.
"""

import asyncio
from collections.abc import Awaitable, Iterable
from http import HTTPStatus
from io import BytesIO
from typing import Any

from daphne.http_protocol import WebRequest
from twisted.web.http import NO_BODY_CODES
from twisted.web.iweb import INonQueuedRequestFactory
from zope.interface import provider

from llm_proxy_site.server.answer_head import AnswerHead
from llm_proxy_site.server.daphne.gate import ProducerGate
from llm_proxy_site.server.handshake import (
    asks_for_websocket,
    offered_subprotocols,
    upgrade_problem,
)
from llm_proxy_site.server.refusals import PHRASES
from llm_proxy_site.server.request_body import RequestBody
from llm_proxy_site.server.request_head import RequestHead


@provider(INonQueuedRequestFactory)
class StreamingRequest(WebRequest):
    head: RequestHead
    body: RequestBody | None = None
    gate: ProducerGate | None = None
    has_length = False
    """Whether the answer's length was declared."""
    _answer_head = b""
    """Of the answer, until it goes out."""

    # Daphne says the same in Python, and asks for it with each message.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def gotLength(self, length: int | None) -> None:
        """The head is complete; `length` is the body's, None if it is chunked."""
        self.content = BytesIO()  # Daphne reads the body from here: it finds none
        channel = self.channel
        self.body = RequestBody(channel.pause_reading, channel.resume_reading)
        if length == 0:
            self.body.end()  # `requestReceived` follows at once
            return
        if self.head.expects_continue:
            self.body.on_awaited = self._say_continue
        self._begin()

    def handleContentChunk(self, data: bytes) -> None:
        assert self.body is not None
        self.body.feed(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        assert self.body is not None
        if self.head.length == 0:
            self._begin()
        else:
            self.body.end()

    def _say_continue(self) -> None:
        if not self._response_started and self.channel is not None:
            self.channel.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _begin(self) -> None:
        # What Request.requestReceived does, but for the parsing of forms: that would read the body whole.
        head = self.head
        self.method, self.uri, self.clientproto = head.method, head.target, head.version
        self.path = head.target.split(b"?", 1)[0]
        peer, host = self.channel.getPeer(), self.channel.getHost()
        self.client_addr = [peer.host, peer.port]
        scope = head.scope(self.client_addr, [host.host, host.port])
        if asks_for_websocket(head):
            self._upgrade(scope)
        else:  # what Daphne does with such a request, without its generator
            self.application_queue = self.server.create_application(self, scope)

    def _upgrade(self, scope: dict[str, Any]) -> None:
        channel = self.channel
        problem = upgrade_problem(scope, has_body=channel.is_receiving)
        if problem:
            channel.refuse(HTTPStatus.BAD_REQUEST, problem)
            return
        for name, value in scope["headers"]:
            self.requestHeaders.addRawHeader(name, value)
        if self.requestHeaders.hasHeader(b"sec-websocket-protocol"):
            # autobahn takes none of which one stands there twice.
            names = b", ".join(offered_subprotocols(scope))
            self.requestHeaders.setRawHeaders(b"sec-websocket-protocol", [names] if names else [])
        self.process()  # of Daphne's generator nothing waits: all is done when it returns
        if self.transport is None:
            channel.upgraded()

    def setResponseCode(self, code: int, message: bytes | None = None) -> None:
        """With the reason phrase of all statuses; Twisted does not know the newer ones, 429 among them."""
        super().setResponseCode(code, message or PHRASES.get(code))

    def basic_error(self, status: int, status_text: bytes, body: str) -> None:
        """Daphne's own answers: to a request that it does not like, and for an application that failed."""
        if status == HTTPStatus.BAD_REQUEST:
            self.channel.refuse(status, f"{body}.")
        else:
            super().basic_error(status, status_text, body)

    def handle_reply(self, message: dict[str, Any]) -> None:
        """A message of the application's. Instead of Daphne's and Twisted's way, which makes a table of the
        headers and several pieces of the answer: it goes out as it was given, in as few writes as can be.
        """
        if self.finished or self.channel is None or self.channel.is_refused:
            return
        kind = message["type"]
        if kind == "http.response.start" and not self._response_started:
            self._begin_answer(message["status"], message.get("headers", ()))
        elif kind == "http.response.body" and self._response_started:
            self._go_on(message.get("body", b""), is_last=not message.get("more_body", False))
        else:
            raise ValueError(f"{kind} is out of place")

    def _begin_answer(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        channel = self.channel
        self.setResponseCode(status)
        if channel.is_receiving or not channel.may_stay:
            # The answer comes before the body's end; or the server has begun to leave since its request came.
            channel.persistent = False
        head = AnswerHead(headers)
        self.has_length = head.has_length
        if not head.has_length and self.clientproto == b"HTTP/1.1" and not self._has_no_body:
            self.chunked = 1
        self._answer_head = head.text(
            b"%b %d %b" % (self.clientproto, status, self.code_message),
            is_chunked=bool(self.chunked),
            is_last=not channel.persistent,
        )
        self._response_started, self.startedWriting = True, 1
        # With the body, if that follows at once; else without it.
        asyncio.get_running_loop().call_soon(self._send, b"")

    def _go_on(self, body: bytes, *, is_last: bool) -> None:
        if self._has_no_body:
            body = b""  # it would be taken for the beginning of the next answer
        self.sentLength += len(body)
        data = b"%x\r\n%b\r\n" % (len(body), body) if self.chunked and body else body
        if is_last and self.chunked:
            data += b"0\r\n\r\n"
            self.chunked = 0  # or Twisted would write it
        self._send(data)
        if is_last:
            self.finish()

    def write_on(self, chunk: bytes) -> Awaitable[None] | None:
        """A part of an answer's body that is not its last, once it has begun: as by a message, only faster.
        What is returned is to be awaited: the client reads slowly.
        """
        channel = self.channel
        if not chunk or self.finished or channel is None or channel.is_refused or self._has_no_body:
            return None
        gate = self.hold_writes()
        self.sentLength += len(chunk)
        self._send(b"%x\r\n%b\r\n" % (len(chunk), chunk) if self.chunked else chunk)
        return None if gate.is_open else gate.passed()

    def _send(self, data: bytes) -> None:
        """With the head, if that has not gone out."""
        data, self._answer_head = self._answer_head + data, b""
        if data and self.channel is not None:
            self.channel.send(data)

    @property
    def _has_no_body(self) -> bool:
        return self.method == b"HEAD" or self.code in NO_BODY_CODES

    def hold_writes(self) -> ProducerGate:
        """The gate that is closed while the client does not read."""
        if self.gate is None:
            self.gate = ProducerGate()
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
        self._send(b"")
        if self.chunked or self.has_length:
            self.channel.close_unfinished()
        else:
            self.channel.transport.abortConnection()  # for HTTP/1.0 a clean end would be the answer's end
