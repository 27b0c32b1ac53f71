"""One connection that speaks HTTP/1.1, on uvicorn's: what is waited for on it, and how it ends."""

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from llm_proxy_site.server import lifecycle
from llm_proxy_site.server.client_limits import ClientLimits
from llm_proxy_site.server.connection import ClientConnection, says_close
from llm_proxy_site.server.gate import WriteGate
from llm_proxy_site.server.handshake import asks_for_websocket, upgrade_problem
from llm_proxy_site.server.patience import Turn
from llm_proxy_site.server.refusals import LINGER_SECONDS, failure, refusal
from llm_proxy_site.server.request_body import RequestBody
from llm_proxy_site.server.request_head import RequestHead
from llm_proxy_site.server.unsent import Unsent
from llm_proxy_site.server.uvicorn.exchange import Exchange
from llm_proxy_site.server.uvicorn.framing import StrictProtocol
from llm_proxy_site.server.uvicorn.websocket import ClientSocket
from proxy.types import Scope

if TYPE_CHECKING:
    from llm_proxy_site.server.uvicorn.server import ProxyServer

MAX_UNSENT_IN_PROCESS_BYTES = 64 * 1024
"""From so much on that the system does not take, the application waits."""
MAX_AHEAD_BYTES = 16 * 1024
"""Of the requests that a client sends before the one is answered; one read more."""


class UvicornConnection(StrictProtocol, ClientConnection):
    def __init__(self, service: "ProxyServer", host: str) -> None:
        super().__init__(service.config, service.state, {}, service.loop)
        self.service = service
        self.host = host
        self.gate = WriteGate()
        self.exchange: Exchange | None = None
        """What has not been answered yet."""
        self._persists = True
        self._socket: ClientSocket | None = None
        self._ahead = b""
        self._lingering: asyncio.TimerHandle | None = None

    @property
    def is_idle(self) -> bool:
        return self.exchange is None

    @property
    def has_begun(self) -> bool:
        return self.exchange is not None or self.heads.has_begun

    @property
    def is_busy(self) -> bool:
        return self.exchange is not None or self._socket is not None

    @property
    def is_receiving(self) -> bool:
        """Whether the current request's body has not ended yet."""
        return self._in_body

    @property
    def body(self) -> RequestBody | None:
        return None if self.exchange is None else self.exchange.body

    @property
    def handle(self) -> Any:
        return self.transport.get_extra_info("socket")

    # What the event loop tells

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=MAX_UNSENT_IN_PROCESS_BYTES)
        self._unsent = Unsent(self.handle)
        self.begin_waiting(self.host)
        self.service.clients.opened(self)

    def data_received(self, data: bytes) -> None:
        if self.is_refused:
            return
        if self.clock.turn is Turn.IDLE:
            self.clock.change(Turn.HEAD, time.monotonic())
        self.feed(data)

    def eof_received(self) -> None:
        """The connection is closed after what has been written, which is the event loop's doing."""
        self._hang_up()

    def connection_lost(self, exc: Exception | None) -> None:
        self.service.clients.closed(self, self.host)
        self._hang_up()
        self.gate.open()
        self._stop_lingering()
        self._leave()

    def pause_writing(self) -> None:
        self.gate.close()

    def resume_writing(self) -> None:
        self.gate.open()

    # What the parser tells

    def request_came(self, head: RequestHead) -> None:
        self.clock.change(Turn.SERVER, 0)
        scope = head.scope(self.client, self.server)
        if asks_for_websocket(head):
            self._upgrade(scope)
            return
        self._persists = head.is_http_1_1 and not says_close(head)
        body = RequestBody(self.pause_reading, self.resume_reading)
        self.exchange = Exchange(self, body, head.method, is_http_1_1=head.is_http_1_1)
        if not self.is_receiving:
            body.end()
        elif head.expects_continue:
            body.on_awaited = self._say_continue
        scope["extensions"] = {
            "llm_proxy.hangup": body.tell_hangup,
            "llm_proxy.write": self.exchange.write_on,
        }
        self.service.start(self._answer(self.exchange, scope))

    async def _answer(self, exchange: Exchange, scope: Scope) -> None:
        await self.service.run_request(exchange, scope, exchange.body.receive, exchange.send)
        if not exchange.is_over:
            exchange.handle_exception(EOFError("the application has left without an answer"))

    def on_body(self, body: bytes) -> None:
        if self.exchange is not None:
            self.exchange.body.feed(body)

    def body_ended(self) -> None:
        if self._lingering is not None:
            self.close()
        elif self.exchange is not None:
            self.exchange.body.end()

    def came_ahead(self, data: bytes) -> None:
        if self._socket is not None:
            self._socket.data_received(data)
        elif self._persists:
            self._ahead += data
            if len(self._ahead) > MAX_AHEAD_BYTES:
                self.pause_reading()

    # What the exchange tells

    def will_stay(self) -> bool:
        """Whether the connection can be kept for another request, now that the answer begins. Those that were
        sent ahead are answered.
        """
        self._persists = (
            self._persists
            and not self.is_receiving  # the answer comes before the body's end
            and (self.is_wanted(self.service.clients) or bool(self._ahead))
        )
        return self._persists

    def answered(self) -> None:
        exchange, self.exchange = self.exchange, None
        if self.is_receiving and exchange is not None:
            # Closing now, with unread data in the socket, would reset the connection and could take our
            # answer from the client. Read on for a moment, and forget what comes.
            self.linger(self.close)
            exchange.body.discard()
        elif not self._persists or lifecycle.is_cutting_off():
            self.close()
        else:
            self.clock.change(Turn.IDLE, time.monotonic())
            self.resume_reading()
            if self._ahead:
                ahead, self._ahead = self._ahead, b""
                self.data_received(ahead)

    def fail(self) -> None:
        """Say that the application has failed, before it began to answer."""
        assert self.exchange is not None
        self.exchange.is_over = True
        self._persists = False
        self.transport.write(failure())
        self.answered()

    # How it ends

    def refuse(self, status: int, message: str) -> None:
        if self.is_refused or self.transport.is_closing():
            return
        self.is_refused = True
        self._persists = False
        self.linger(self.abort)
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.body.put_nowait({"type": "http.disconnect"})
            if exchange.has_started:
                exchange.break_off()
                return
            exchange.is_over = True
        self.transport.write(refusal(status, message))
        self.transport.write_eof()

    def close_unfinished(self) -> None:
        """After what has been written, if the client takes it in time; it misses the rest."""
        self.linger(self.abort)
        self.close()

    def close(self) -> None:
        self.transport.close()

    def abort(self) -> None:
        self._hang_up()  # nothing can be written from here on
        self.transport.abort()

    def linger(self, then: Callable[[], None]) -> None:
        self._stop_lingering()
        self._lingering = self.loop.call_later(LINGER_SECONDS, then)

    def is_stalled(self, now: float, limits: ClientLimits) -> bool:
        return self._unsent.is_stalled(self.transport.get_write_buffer_size(), now, limits)

    def read_no_more(self) -> None:
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def read_on(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def _hang_up(self) -> None:
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.is_over = True
            exchange.body.put_nowait({"type": "http.disconnect"})

    def _leave(self) -> None:
        """Nothing is read any more: let go of what holds us."""
        self.connections.discard(self)
        self.parser = None  # type: ignore[assignment]

    def _say_continue(self) -> None:
        if self.exchange is not None and not self.exchange.has_started:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _stop_lingering(self) -> None:
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None

    def _upgrade(self, scope: Scope) -> None:
        problem = upgrade_problem(scope, has_body=self.is_receiving)
        if problem:
            self.refuse(400, problem)
            return
        self.service.clients.upgraded(self)
        self._leave()
        self._socket = ClientSocket(self.service, self.transport, self.host, self._unsent, self.gate)
        self.transport.set_protocol(self._socket)
        self._socket.open(scope)
