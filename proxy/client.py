"""The client's side of one request: its body as it comes, our answer as it goes, and its hang-up."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from proxy.errors import ProxyError, RequestTooLarge
from proxy.types import Headers, Message, Receive, Send

WATCH_AFTER_SECONDS = 0.05
"""So long after its body a request is watched for the client's hang-up."""


class ClientDisconnected(Exception):
    """The client hung up before the end."""


class Client:
    """Reads the body first; once it is read, waits for the hang-up."""

    def __init__(self, receive: Receive, send: Send, *, max_body_bytes: int) -> None:
        self.status: int | None = None
        """What we answered; None until we did."""
        self.failure: ClientDisconnected | RequestTooLarge | None = None
        """What ended the body, or the wait for the answer, on the client's side."""
        self.body_bytes = 0
        self.sent_bytes = 0
        self.first_byte_seconds: float | None = None
        self._began = time.perf_counter()
        self._receive = receive
        self._send = send
        self._max_body_bytes = max_body_bytes
        self._body_ended = False
        self._task: asyncio.Task[None] | None = None
        self._watcher: asyncio.Future[Message] | None = None
        self._watch_timer: asyncio.TimerHandle | None = None

    def elapsed_seconds(self) -> float:
        """Since the request began."""
        return time.perf_counter() - self._began

    async def body(self) -> AsyncIterator[bytes]:
        """The request's body, chunk by chunk. Raises ClientDisconnected and RequestTooLarge."""
        while not self._body_ended:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise self._failed(ClientDisconnected())
            chunk: bytes = message.get("body", b"")
            self.body_bytes += len(chunk)
            if self.body_bytes > self._max_body_bytes:
                raise self._failed(RequestTooLarge())
            self._body_ended = not message.get("more_body", False)
            if chunk:
                yield chunk
        self._watch_soon()

    async def read(self) -> bytes:
        """The whole body."""
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._body_ended = True  # as almost always: all in one piece, whose length was declared
            body: bytes = message.get("body", b"")
            self.body_bytes = len(body)
            return body
        return await self._read_on(message)

    async def _read_on(self, first: Message) -> bytes:
        receive, pending = self._receive, [first]

        async def receive_again() -> Message:
            return pending.pop() if pending else await receive()

        self._receive = receive_again
        return b"".join([chunk async for chunk in self.body()])

    @contextmanager
    def hangup_cancels(self) -> Iterator[None]:
        """Within, a hang-up cancels what the current task awaits and becomes ClientDisconnected."""
        self._task = asyncio.current_task()
        if self._body_ended:
            self._watch_soon()
        try:
            yield
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self.failure is None or task is None:
                raise
            task.uncancel()
            raise self.failure from None
        finally:
            self._unwatch()

    async def start(self, status: int, headers: Headers) -> None:
        self.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, chunk: bytes, *, is_last: bool = False) -> None:
        """Send a part of the answer; waits while the client reads slower than we write."""
        if is_last:
            self._unwatch()  # servers announce the end of an answer as they announce a hang-up
        if self.first_byte_seconds is None:
            self.first_byte_seconds = self.elapsed_seconds()
        self.sent_bytes += len(chunk)
        await self._send({"type": "http.response.body", "body": chunk, "more_body": not is_last})

    async def end(self) -> None:
        self._unwatch()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def refuse(self, error: ProxyError, *more_headers: tuple[bytes, bytes]) -> None:
        body = error.body()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            *error.headers(),
            *more_headers,
        ]
        await self.start(error.status, headers)
        self.sent_bytes += len(body)
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    def _watch_soon(self) -> None:
        # A task for an answer that is over in a moment would be a waste.
        if self._task is not None and self._watch_timer is None:
            self._watch_timer = asyncio.get_running_loop().call_later(WATCH_AFTER_SECONDS, self._watch)

    def _watch(self) -> None:
        self._watcher = asyncio.ensure_future(self._receive())
        self._watcher.add_done_callback(self._hung_up)

    def _unwatch(self) -> None:
        self._task = None
        if self._watch_timer is not None:
            self._watch_timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()

    def _hung_up(self, watcher: asyncio.Future[Message]) -> None:
        if watcher.cancelled() or watcher.exception() or self._task is None:
            return
        self.failure = ClientDisconnected()
        self._task.cancel()

    def _failed(self, failure: ClientDisconnected | RequestTooLarge) -> Exception:
        self.failure = failure
        return failure
