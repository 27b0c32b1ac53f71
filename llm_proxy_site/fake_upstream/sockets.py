"""WebSockets: the handshake, the faults, and what is recorded; what is said comes from elsewhere."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from .authorization import authorize
from .delivery import HEADERS, deliver, reset
from .errors import ApiError
from .faults import UNSCRIPTED, Faults, scripted_error, scripted_faults
from .recording import LOG, Record

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
MAX_RECORDED_MESSAGES = 1000
MAX_RECORDED_CHARACTERS = 4096


class SocketEnded(Exception):
    """The script says that it ends here."""


class Socket:
    """One WebSocket, as those see it who say something on it."""

    def __init__(self, request: web.Request, faults: Faults, record: Record) -> None:
        self.request = request
        self.faults = faults
        self._record = record
        self._events = 0
        self.response = web.WebSocketResponse(
            protocols=("realtime",),
            max_msg_size=MAX_MESSAGE_BYTES,
            autoping=faults.ignore_pings is None,
            heartbeat=faults.ping_ms / 1000 if faults.ping_ms else None,
            compress=False,
            timeout=1,
        )

    async def open(self) -> None:
        for name in ("x-request-id", "openai-version", "openai-organization"):
            self.response.headers[name] = HEADERS.get(name, "req_socket")
        await self.response.prepare(self.request)
        self.facts: dict[str, Any] = {
            "subprotocol": self.response.ws_protocol,
            "messages": [],
            "received": 0,
            "sent": 0,
            "sent_bytes": 0,
            "close_code": None,
        }
        self._record.socket = self.facts

    async def messages(self) -> AsyncIterator[str | bytes]:
        """Those that come, until the client's end."""
        async for message in self.response:
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                self._note(message.data)
                yield message.data

    async def say(self, event: dict[str, Any]) -> None:
        """Send an event, at the pace of the script. Raises SocketEnded where that says so."""
        faults = self.faults
        if self._events and faults.chunk_delay_ms:
            await asyncio.sleep(faults.chunk_delay_ms / 1000)
        if self._events == faults.cut_after:
            self._record.end("finished")
            reset(self.request)
            raise SocketEnded
        if faults.close_code is not None and self._events == faults.close_after:
            await self.response.close(code=faults.close_code, message=b"as the script says")
            raise SocketEnded
        self._events += 1
        await self.send(msgspec.json.encode(event).decode())

    async def send(self, data: str | bytes) -> None:
        self.facts["sent"] += 1
        self.facts["sent_bytes"] += len(data)
        await (self.response.send_str(data) if isinstance(data, str) else self.response.send_bytes(data))

    def close_noted(self) -> None:
        self.facts["close_code"] = self.response.close_code

    def _note(self, data: str | bytes) -> None:
        self.facts["received"] += 1
        raw = data.encode() if isinstance(data, str) else data
        self._record.body_bytes += len(raw)
        if len(self.facts["messages"]) < MAX_RECORDED_MESSAGES:
            self.facts["messages"].append(
                {
                    "kind": "text" if isinstance(data, str) else "binary",
                    "bytes": len(raw),
                    "sha256": hashlib.sha256(raw).hexdigest(),
                    "text": raw[:MAX_RECORDED_CHARACTERS].decode("utf-8", "replace"),
                }
            )


Converse = Callable[[Socket], Awaitable[None]]


def route_socket(converse: Converse) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The aiohttp handler that serves a WebSocket with `converse`."""

    async def handle(request: web.Request) -> web.StreamResponse:
        record = request.app[LOG].start(request)
        faults = UNSCRIPTED
        try:
            faults = scripted_faults(request)
            authorize(request)
            if faults.status:
                raise scripted_error(faults.status, faults.code)
            socket = Socket(request, faults, record)
            if not socket.response.can_prepare(request):
                raise ApiError(426, "This is a WebSocket endpoint.")
            return await _serve(socket, converse, faults, record)
        except ApiError as error:
            return await deliver(error.answer(), faults, request, record)
        except asyncio.CancelledError:
            record.end("closed_by_client")
            raise
        finally:
            record.end("finished")

    return handle


async def _serve(socket: Socket, converse: Converse, faults: Faults, record: Record) -> web.StreamResponse:
    if faults.delay_ms:
        await asyncio.sleep(faults.delay_ms / 1000)
    if faults.hang == "1":
        await asyncio.get_running_loop().create_future()
    await socket.open()
    try:
        if faults.hang == "headers":
            await asyncio.get_running_loop().create_future()
        await (_echo(socket) if faults.echo else converse(socket))
    except (SocketEnded, ConnectionError):
        pass
    finally:
        socket.close_noted()
    record.end("finished" if socket.response.close_code != 1006 else "closed_by_client")
    return socket.response


async def _echo(socket: Socket) -> None:
    async for message in socket.messages():
        await socket.send(message)
