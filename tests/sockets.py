"""WebSockets for tests: a client that shows what it gets, and tests that use the database and the loop."""

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from asgiref.sync import async_to_sync, sync_to_async

from tests.factories import issue_token
from tests.live import LiveProxy, eventually
from usage.models import UsageRecord

MAX_BYTES = 64 * 1024 * 1024
DEADLINE_SECONDS = 15.0


def talking(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """An async test whose `sync_to_async` parts run in the thread, and on the connection, of the test."""

    @functools.wraps(test)
    def run(*arguments: Any, **options: Any) -> None:
        async_to_sync(test)(*arguments, **options)

    return run


class Talk:
    """One WebSocket of a client's."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse[bool]) -> None:
        self.socket = socket
        self.sent = 0

    @property
    def close_code(self) -> int | None:
        return self.socket.close_code

    def write_raw(self, data: bytes) -> None:
        """Past all framing."""
        self._transport.write(data)

    def break_off(self) -> None:
        """Without a close frame."""
        self._transport.abort()

    def forget_unsent(self) -> None:
        """What the other side has not read keeps a connection from closing."""
        connection = self.socket._response.connection
        transport = connection.transport if connection is not None else None
        if transport is not None and transport.get_write_buffer_size():
            transport.abort()

    @property
    def _transport(self) -> Any:
        connection = self.socket._response.connection
        assert connection is not None
        return connection.transport

    async def say(self, kind: str, **members: Any) -> None:
        await self.socket.send_str(json.dumps({"type": kind, **members}))

    async def hear(self) -> Any:
        """The next event."""
        message = await self.socket.receive(timeout=DEADLINE_SECONDS)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        return json.loads(message.data)

    async def hear_until(self, *kinds: str) -> Any:
        """The next event of one of these kinds."""
        while True:
            event = await self.hear()
            if event["type"] in kinds:
                return event

    async def end(self) -> tuple[int | None, str]:
        """The code and the reason with which the other side closes; events before are not looked at."""
        while True:
            message = await self.socket.receive(timeout=DEADLINE_SECONDS)
            if message.type is aiohttp.WSMsgType.CLOSE:
                return message.data, message.extra or ""
            if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                return self.socket.close_code, ""


@asynccontextmanager
async def talk(
    live: LiveProxy,
    token: str | None,
    path: str = "/realtime?model=gpt-realtime",
    *,
    protocols: tuple[str, ...] = (),
    headers: dict[str, str] | None = None,
    **faults: object,
) -> AsyncIterator[Talk]:
    """A WebSocket to this path of the proxy; faults are those of the fake upstream."""
    sent = {f"x-fake-{name.replace('_', '-')}": str(value) for name, value in faults.items()} | (
        headers or {}
    )
    if token:
        sent["authorization"] = f"Bearer {token}"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            live.base_url + path, headers=sent, protocols=protocols, max_msg_size=MAX_BYTES
        ) as socket,
    ):
        client = Talk(socket)
        yield client
        client.forget_unsent()


@sync_to_async
def new_token(**fields: Any) -> tuple[Any, str]:
    return issue_token(**fields)


@sync_to_async
def upstream_socket(live: LiveProxy, marker: str) -> dict[str, Any]:
    """What upstream has recorded of the WebSocket with this text in its request, once that has ended."""

    def ended() -> Any:
        found = live.upstream_requests(marker)
        return found and found[0]["state"] != "running" and found[0]

    return eventually(ended)


@sync_to_async
def rows(token: Any, count: int) -> list[UsageRecord]:
    """The token's rows, oldest first, once there are so many."""
    found = eventually(lambda: UsageRecord.objects.filter(token=token).count() >= count)
    assert found
    return list(UsageRecord.objects.filter(token=token).order_by("id"))


async def ask(client: Any, text: str, **response: Any) -> None:
    content = [{"type": "input_text", "text": text}]
    await client.say("conversation.item.create", item={"type": "message", "role": "user", "content": content})
    await client.say("response.create", response=response)


async def settled(value: Any) -> Any:
    """The value as soon as it has not changed for half a second."""
    last, same = None, 0
    async with asyncio.timeout(20):
        while same < 10:
            await asyncio.sleep(0.05)
            now = await asyncio.to_thread(value)
            same = same + 1 if now == last and now else 0
            last = now
    return last
