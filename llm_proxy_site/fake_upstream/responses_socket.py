"""GET /v1/responses as a WebSocket: `response.create` as in the body of a POST, and the same events.

https://platform.openai.com/docs/guides/websocket-mode
"""

import hashlib

import msgspec

from .calls import Body, Call
from .errors import ApiError
from .responses import events
from .sockets import Socket


class _Kind(msgspec.Struct):
    type: str = ""


async def converse(socket: Socket) -> None:
    async for message in socket.messages():
        raw = message.encode() if isinstance(message, str) else message
        try:
            await _respond(socket, raw)
        except ApiError as error:
            await socket.say({"type": "error", "status": error.status, **error.body})


async def _respond(socket: Socket, raw: bytes) -> None:
    try:
        kind = msgspec.json.decode(raw, type=_Kind).type
    except msgspec.DecodeError:
        raise ApiError(400, "Could not parse the event.", code="invalid_json") from None
    if kind != "response.create":
        raise ApiError(400, f"Invalid value: '{kind}'.", param="type", code="invalid_value")
    call = Call(socket.request, socket.faults, Body(raw), hashlib.sha256(raw).hexdigest())
    for event in events(call):
        await socket.say(event)
