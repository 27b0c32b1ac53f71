"""The messages of one WebSocket on their way to the application, of which a bounded part waits."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from llm_proxy_site.server.refusals import PHRASES

MAX_BUFFERED_BYTES = 256 * 1024
"""Of messages that the application has not taken; one more may be on its way in."""
MESSAGE_BYTES = 256
"""About what a message takes besides its payload, and what an empty one counts."""
CLOSE_SECONDS = 5.0
"""How long a client has to answer our close frame, and to take what stands before it."""
PING_SECONDS = 20.0
"""So long silent, a client is asked for a sign of life."""
PONG_SECONDS = 30.0
"""For its answer."""


class SocketMessages:
    """The ASGI messages of one WebSocket. With Daphne, in the place of its queue."""

    def __init__(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self._pause_reading = pause
        self._resume_reading = resume
        self._messages: deque[tuple[dict[str, Any], int]] = deque()
        self._size = 0
        self._unwanted = False
        self._is_held = False
        self._waiter: asyncio.Future[None] | None = None
        self.is_paused = False

    def put_nowait(self, message: dict[str, Any]) -> None:
        """The connection, and its end."""
        self._put(message, 0)

    def feed(self, message: dict[str, Any], size: int) -> None:
        if not self._unwanted:
            self._put(message, size + MESSAGE_BYTES)

    def hold(self) -> None:
        """Read nothing more, however little there is, until `release`."""
        self._is_held = True
        self._pause()

    def release(self) -> None:
        self._is_held = False
        if self._size <= MAX_BUFFERED_BYTES:
            self._continue()

    def discard(self) -> None:
        """What still comes is read and forgotten."""
        self._unwanted = True
        self._is_held = False
        self._messages.clear()
        self._size = 0
        self._continue()

    async def receive(self) -> dict[str, Any]:
        while not self._messages:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        message, size = self._messages.popleft()
        self._size -= size
        if self._size <= MAX_BUFFERED_BYTES:
            self._continue()
        return message

    def _put(self, message: dict[str, Any], size: int) -> None:
        self._messages.append((message, size))
        self._size += size
        if self._size > MAX_BUFFERED_BYTES:
            self._pause()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _pause(self) -> None:
        if not self.is_paused:
            self.is_paused = True
            self._pause_reading()

    def _continue(self) -> None:
        if self.is_paused and not self._is_held:
            self.is_paused = False
            self._resume_reading()


def denial(status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> bytes:
    """An HTTP answer in place of the handshake's: ASGI's extension `websocket.http.response`."""
    lines = [b"HTTP/1.1 %d %s" % (status, PHRASES.get(status, b""))]
    lines += [name + b": " + value for name, value in headers if name.lower() != b"connection"]
    if b"content-length" not in {name.lower() for name, _ in headers}:
        lines.append(b"content-length: %d" % len(body))
    return b"\r\n".join([*lines, b"connection: close", b"", body])
