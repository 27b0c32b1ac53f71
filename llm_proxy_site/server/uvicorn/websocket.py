"""WebSockets on uvloop's transports: backpressure both ways, refusals in HTTP, headers and reasons.

The frames are those of the library `websockets`, without its input and output.
"""

import asyncio
import logging
import time
from functools import partial
from typing import TYPE_CHECKING

from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State
from websockets.utils import accept_key

from llm_proxy_site.server.client_limits import ClientLimits
from llm_proxy_site.server.gate import WriteGate
from llm_proxy_site.server.handshake import offered_subprotocols
from llm_proxy_site.server.socket_messages import (
    CLOSE_SECONDS,
    PING_SECONDS,
    PONG_SECONDS,
    SocketMessages,
    denial,
)
from llm_proxy_site.server.unsent import Unsent
from proxy.types import Headers, Message, Scope

if TYPE_CHECKING:
    from llm_proxy_site.server.uvicorn.server import ProxyServer

_quiet = logging.getLogger("websockets.quiet")
_quiet.disabled = True


class ClientSocket(asyncio.Protocol):
    """One client's WebSocket."""

    def __init__(
        self,
        service: "ProxyServer",
        transport: asyncio.Transport,
        host: str,
        unsent: Unsent,
        gate: WriteGate,
    ) -> None:
        self._service = service
        self._transport = transport
        self._host = host
        self._unsent = unsent
        self._gate = gate
        self._frames = Protocol(
            Side.SERVER,
            state=State.CONNECTING,
            max_size=service.duties.max_socket_message_bytes,
            logger=_quiet,
        )
        self._early = b""
        """What has come before the handshake was answered."""
        self._parts: list[bytes] = []
        self._is_text = False
        self._is_denied = False
        self._owes_pongs = False
        """Whether reading waits: who pings and does not read would be answered without end."""
        self._denial: tuple[int, Headers] | None = None
        self._denial_body = b""
        self._closing: asyncio.TimerHandle | None = None
        self._heard_at = time.monotonic()
        self._asked_at: float | None = None
        """When the client was asked for a sign of life that has not come."""
        self.messages = SocketMessages(transport.pause_reading, partial(_read_on, transport))

    def open(self, scope: Scope) -> None:
        """Start the application. Until it answers the handshake, nothing is read."""
        self._service.clients.sockets.add(self)
        headers = dict(scope["headers"])
        self._key = headers[b"sec-websocket-key"].decode("ascii")
        scope |= {
            "type": "websocket",
            "scheme": "ws",
            "subprotocols": [name.decode("latin-1") for name in offered_subprotocols(scope)],
            "extensions": {"websocket.http.response": {}},
        }
        self.messages.put_nowait({"type": "websocket.connect"})
        self.messages.hold()
        service = self._service
        service.start(service.run_socket(self, scope, self.messages.receive, self.send))

    # What the event loop tells

    def data_received(self, data: bytes) -> None:
        if self._is_denied:
            return
        if self._frames.state is State.CONNECTING:
            self._early += data
            return
        self._heard_at, self._asked_at = time.monotonic(), None
        self._frames.receive_data(data)
        for event in self._frames.events_received():
            if isinstance(event, Frame):
                self._heard(event)
        self._flush()

    def eof_received(self) -> None:
        """The connection is closed after what has been written, which is the event loop's doing."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._service.clients.closed(self, self._host)
        self._gate.open()
        if self._closing is not None:
            self._closing.cancel()
        received = self._frames.close_rcvd
        code, reason = (1006, "") if received is None else (received.code, received.reason)
        self.messages.discard()
        self.messages.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})

    def pause_writing(self) -> None:
        self._gate.close()

    def resume_writing(self) -> None:
        self._gate.open()
        if self._owes_pongs:
            self._owes_pongs = False
            self.messages.release()

    # What the application tells

    async def send(self, message: Message) -> None:
        match message["type"]:
            case "websocket.send":
                self._send_message(message)
                await self._gate.passed()
            case "websocket.accept":
                self._accept(message)
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
        if self._frames.state is State.CONNECTING:
            self._denial = 500, []
            self._deny()
        elif self._frames.state is State.OPEN:
            self._close({"code": 1011})

    def end_if_late(self, now: float, limits: ClientLimits) -> None:
        """A client that does not read is asked for no sign of life, and would never go."""
        if self._unsent.is_stalled(self._transport.get_write_buffer_size(), now, limits):
            self._transport.abort()
        elif self._frames.state is State.OPEN:
            self._ask_if_silent(now)

    def _ask_if_silent(self, now: float) -> None:
        """Not one that we keep waiting, or that has not read yet what stands before the question."""
        if self.messages.is_paused or not self._gate.is_open:
            self._asked_at = None
        elif self._asked_at is not None:
            if now - self._asked_at > PONG_SECONDS:
                self._transport.abort()
        elif now - self._heard_at > PING_SECONDS:
            self._asked_at = now
            self._frames.send_ping(b"")
            self._flush()

    def _heard(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self.messages.discard()
        elif frame.opcode is Opcode.PING and not self._gate.is_open:
            self._owes_pongs = True
            self.messages.hold()
        elif frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            if frame.opcode is not Opcode.CONT:
                self._is_text = frame.opcode is Opcode.TEXT
            self._parts.append(bytes(frame.data))
            if frame.fin:
                payload = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
                self._parts = []
                self._message_came(payload)

    def _message_came(self, payload: bytes) -> None:
        message: Message = {"type": "websocket.receive"}
        if not self._is_text:
            message["bytes"] = payload
        else:
            try:
                message["text"] = payload.decode()
            except UnicodeDecodeError:
                self._frames.fail(1007, "not UTF-8")
                return
        self.messages.feed(message, len(payload))

    def _accept(self, message: Message) -> None:
        if self._frames.state is not State.CONNECTING or self._is_denied:
            return
        lines = [
            b"HTTP/1.1 101 Switching Protocols",
            b"Upgrade: websocket",
            b"Connection: Upgrade",
            b"Sec-WebSocket-Accept: " + accept_key(self._key).encode(),
        ]
        if message.get("subprotocol"):
            lines.append(b"Sec-WebSocket-Protocol: " + message["subprotocol"].encode("latin-1"))
        lines += [name + b": " + value for name, value in message.get("headers", [])]
        if self._transport.is_closing():
            return
        self._frames.state = State.OPEN
        self._heard_at = time.monotonic()
        self._transport.write(b"\r\n".join([*lines, b"", b""]))
        self.messages.release()
        if self._early:
            early, self._early = self._early, b""
            self.data_received(early)

    def _send_message(self, message: Message) -> None:
        if self._frames.state is not State.OPEN:
            return
        text = message.get("text")
        if text is not None:
            self._frames.send_text(text.encode())
        else:
            self._frames.send_binary(message.get("bytes") or b"")
        self._flush()

    def _close(self, message: Message) -> None:
        if self._frames.state is State.CONNECTING:
            self._denial = 403, []
            self._deny()
            return
        self.messages.discard()  # so that the client's own close frame can come
        if self._frames.state is State.OPEN:
            self._frames.send_close(message.get("code") or 1000, message.get("reason") or "")
            self._flush()
            self._close_later()

    def _deny(self) -> None:
        if self._frames.state is not State.CONNECTING or self._denial is None or self._is_denied:
            return
        self._is_denied = True
        if self._transport.is_closing():
            return
        self._transport.write(denial(*self._denial, self._denial_body))
        self.messages.release()
        self._transport.close()

    def _flush(self) -> None:
        """What the frames' library has to say. An empty part is the end."""
        parts = self._frames.data_to_send()
        if not parts or self._transport.is_closing():
            return
        self._transport.write(b"".join(parts) if len(parts) > 1 else parts[0])
        if not parts[-1]:
            self._end_writing()

    def _end_writing(self) -> None:
        """Both have said their close frame, or the client has sent what it must not."""
        self.messages.discard()
        if self._frames.close_rcvd is not None:
            self._transport.close()
        else:
            self._transport.write_eof()
        self._close_later()

    def _close_later(self) -> None:
        if self._closing is None:
            self._closing = self._service.loop.call_later(CLOSE_SECONDS, self._transport.abort)


def _read_on(transport: asyncio.Transport) -> None:
    if not transport.is_closing():
        transport.resume_reading()
