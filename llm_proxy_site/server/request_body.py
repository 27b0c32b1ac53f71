"""The body of one request on its way from the socket to the application, of which a bounded part waits."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from llm_proxy_site.server.patience import BodyClock

MAX_BUFFERED_BODY_BYTES = 256 * 1024


class RequestBody:
    """The ASGI messages of one request, on their way from the server to the application.

    With Daphne in the place of its queue: `put_nowait` is Daphne's side, `receive` the application's.
    """

    def __init__(self, pause: Any, resume: Any) -> None:
        self._pause = pause
        self._resume = resume
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._paused = False
        self._ended = False
        self._end_delivered = False
        self._disconnected = False
        self._unwanted = False
        self._waiter: asyncio.Future[None] | None = None
        self._on_hangup: Callable[[], None] | None = None
        self.clock = BodyClock()
        self.on_awaited: Callable[[], None] | None = None
        """Called when the application first waits for the body, and nothing of it has come."""

    def tell_hangup(self, told: Callable[[], None]) -> None:
        """Whom to tell when the client leaves in the midst of its body, though nobody receives. It is let go
        with the body's end: who is told holds what receives us.
        """
        if self._disconnected and not self._ended:
            told()  # before anybody could ask
        elif not self._ended:
            self._on_hangup = told

    def feed(self, chunk: bytes) -> None:
        if self._unwanted:
            return
        self._chunks.append(chunk)
        self._size += len(chunk)
        self.clock.came(len(chunk), time.monotonic())
        if self._size > MAX_BUFFERED_BODY_BYTES:
            self._paused = True
            self._pause()  # again, where others have resumed: Twisted does when an answer has gone out
        self._wake()

    def end(self) -> None:
        self._ended = True
        self._on_hangup = None
        self.clock.stop(time.monotonic())
        self._wake()

    def discard(self) -> None:
        """The answer is complete: what still comes of the body is read and forgotten."""
        self._unwanted = True
        self.clock.stop(time.monotonic())
        self._chunks.clear()
        self._continue()

    def put_nowait(self, message: dict[str, Any]) -> None:
        """The hang-up, or the answer's end; the empty body that Daphne announces is not ours."""
        if message["type"] == "http.disconnect":
            self._disconnected = True
            self._wake()
            told, self._on_hangup = self._on_hangup, None
            if told is not None:
                told()

    async def receive(self) -> dict[str, Any]:
        while True:
            if self._chunks or (self._ended and not self._end_delivered):
                return self._next_part()
            if self._disconnected:
                return {"type": "http.disconnect"}
            if self.on_awaited is not None:
                self.on_awaited()
                self.on_awaited = None
            self._waiter = asyncio.get_running_loop().create_future()
            if not self._ended:
                self.clock.wait(time.monotonic())
            await self._waiter

    def _next_part(self) -> dict[str, Any]:
        body = b"".join(self._chunks)
        self._chunks.clear()
        self._end_delivered = self._ended
        self._continue()
        return {"type": "http.request", "body": body, "more_body": not self._ended}

    def _continue(self) -> None:
        self._size = 0
        if self._paused:
            self._paused = False
            self._resume()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
