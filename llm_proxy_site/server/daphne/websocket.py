"""WebSockets for Daphne, with what it lacks: backpressure both ways, refusals in HTTP, headers and reasons.

Daphne queues whatever a client sends, and hands whatever is to be sent to the socket at once. Here reading
stops while the application takes nothing of what has come, and sending waits while a client does not read.
"""

import asyncio
import time
from http import HTTPStatus
from typing import Any

from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol

from llm_proxy_site.server.client_limits import ClientLimits
from llm_proxy_site.server.connections import Connections
from llm_proxy_site.server.daphne.gate import ProducerGate
from llm_proxy_site.server.daphne.outlet import Outlet
from llm_proxy_site.server.refusals import failure, refusal
from llm_proxy_site.server.socket_messages import CLOSE_SECONDS, SocketMessages, denial

NO_HANDSHAKE = "The request is no handshake of a WebSocket."


class ClientSocket(WebSocketProtocol):
    """One client's WebSocket."""

    server: Any = None
    """None: the handshake was refused before the application was asked."""

    def connectionMade(self) -> None:
        self._clients.sockets.add(self)
        self._outlet = Outlet(self.transport)
        self._host: str = self.transport.getPeer().host
        self.messages = SocketMessages(self.transport.pauseProducing, self.transport.resumeProducing)
        self.gate = ProducerGate()
        self._denial: tuple[int, list[tuple[bytes, bytes]]] | None = None
        self._denial_body = b""
        self.transport.unregisterProducer()  # the HTTP channel that the connection began with
        self.transport.registerProducer(self.gate, True)
        super().connectionMade()

    def onConnect(self, request: Any) -> Any:
        # Until the handshake is answered, what comes would be kept below us, without bound. Soon, not now:
        # Daphne reads on when it has handed the connection over. And before the application runs.
        asyncio.get_running_loop().call_soon(self._hold)
        return super().onConnect(request)

    def _hold(self) -> None:
        if self.state == self.STATE_CONNECTING:
            self.messages.hold()

    def failHandshake(self, reason: str, code: int = 400, responseHeaders: Any = None) -> None:
        """autobahn would say the reason, and with it what the client has sent, a token among it."""
        self.wasNotCleanReason = NO_HANDSHAKE
        self.transport.write(
            failure() if code >= HTTPStatus.INTERNAL_SERVER_ERROR else refusal(400, NO_HANDSHAKE)
        )
        self.dropConnection(abort=False)

    def connectionLost(self, reason: Any) -> None:
        self._clients.closed(self, self._host)
        super().connectionLost(reason)

    @property
    def _clients(self) -> Connections:
        clients: Connections = self.factory.server_class.clients
        return clients

    @property
    def target(self) -> bytes:
        """As received. Daphne's path lacks what stands behind a semicolon."""
        target: str = self.http_request_uri
        return target.encode("latin-1")

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.last_ping = time.time()
        message: dict[str, Any] = {"type": "websocket.receive"}
        if isBinary:
            message["bytes"] = payload
        else:
            message["text"] = payload.decode()
        self.messages.feed(message, len(payload))

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self.messages.discard()
        if code is None:
            code = 1005 if wasClean else 1006
        if self.server is not None:
            self.server.protocol_disconnected(self)
        self.messages.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason or ""})

    def end_if_late(self, now: float, limits: ClientLimits) -> None:
        """A client that does not read is asked for no sign of life, and would never go."""
        if self._outlet.is_stalled(now, limits):
            self.transport.abortConnection()

    def handle_reply(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "websocket.accept":
                self._accept(message)
            case "websocket.send":
                self._send_message(message)
            case "websocket.close":
                self._close(message)
            case "websocket.http.response.start":
                self._denial = message["status"], list(message.get("headers", []))
            case "websocket.http.response.body":
                self._denial_body += message.get("body", b"")
                if not message.get("more_body", False):
                    self._deny()

    def end(self) -> None:
        """The application has ended. One that left without closing has failed."""
        if self.state == self.STATE_CONNECTING:
            self._denial = 500, []
            self._deny()
        elif self.state == self.STATE_OPEN:
            self._close({"code": 1011})

    def check_timeouts(self) -> None:
        """Daphne's clock: ask a silent client for a sign of life. Not one that we keep waiting, or that has
        not read yet what stands before the question.
        """
        if self.state != self.STATE_OPEN:
            return
        is_asked = self.autoPingTimeoutCall is not None
        if self.messages.is_paused or not self.gate.is_open:
            if is_asked:
                self._cancelAutoPingTimeoutCall()
        elif not is_asked and time.time() - self.last_ping > self.server.ping_interval:
            self._sendAutoPing()
            self.last_ping = time.time()

    def _accept(self, message: dict[str, Any]) -> None:
        headers: dict[str, list[str]] = {}
        for name, value in message.get("headers", []):
            headers.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
        deferred = self.handshake_deferred
        del self.handshake_deferred
        deferred.callback((message.get("subprotocol"), headers))
        self.messages.release()

    def _send_message(self, message: dict[str, Any]) -> None:
        payload, text = message.get("bytes"), message.get("text")
        if text is not None:
            self.sendMessage(text.encode(), False)
        else:
            self.sendMessage(payload or b"", True)

    def _close(self, message: dict[str, Any]) -> None:
        if self.state == self.STATE_CONNECTING:
            self._denial = 403, []
            self._deny()
            return
        self.messages.discard()  # so that the client's own close frame can come
        if self.state == self.STATE_OPEN:
            # Not `sendClose`: that lets applications say 1000 and 3000-4999 only.
            reason = (message.get("reason") or "").encode()
            self.sendCloseFrame(code=message.get("code") or 1000, reasonUtf8=reason or None, isReply=False)

    def _deny(self) -> None:
        """An HTTP answer in place of the handshake's: ASGI's extension `websocket.http.response`."""
        if self.state != self.STATE_CONNECTING or self._denial is None:
            return
        self.transport.write(denial(*self._denial, self._denial_body))
        self.messages.release()
        self.dropConnection(abort=False)

    def _closeConnection(self, abort: bool = False) -> None:
        # A producer that waits would keep the connection from ending, and nobody must wait for it any more.
        self.transport.unregisterProducer()
        self.gate.open()
        super()._closeConnection(abort)


def socket_factory(server: Any, max_message_bytes: int) -> WebSocketFactory:
    factory = WebSocketFactory(server, server=server.server_name)
    factory.protocol = ClientSocket
    factory.setProtocolOptions(
        autoPingTimeout=server.ping_timeout,
        allowNullOrigin=True,
        openHandshakeTimeout=0,  # the handshake ends when upstream's does, which the application bounds
        closeHandshakeTimeout=CLOSE_SECONDS,
        maxMessagePayloadSize=max_message_bytes,
        maxFramePayloadSize=max_message_bytes,
        failByDrop=False,  # say what is wrong by a close frame
        tcpNoDelay=True,
    )
    return factory
