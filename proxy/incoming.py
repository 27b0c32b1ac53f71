"""A request's body as its client sends it: read whole, or piece by piece. Never more of it than may be."""

import time
from collections.abc import AsyncIterator, Callable

from proxy.errors import ProxyError, RequestTooLarge
from proxy.types import Message, Receive


class ClientDisconnected(Exception):
    """The client hung up before the end."""


class Incoming:
    """Whatever reads raises ClientDisconnected and RequestTooLarge, and what `on_growth` does."""

    def __init__(self, receive: Receive, *, max_body_bytes: int) -> None:
        self.failure: ClientDisconnected | ProxyError | None = None
        """What ended the body, or the wait for the answer, but for upstream's end."""
        self.body_ended = False
        self.received_bytes = 0
        """Of the body."""
        self.waited_seconds = 0.0
        """For the body, and for upstream: what is not our time of those seconds."""
        self.on_growth: Callable[[int], None] = _nothing_to_do
        """Called with the number of the body's bytes that have come; it may raise a ProxyError."""
        self._receive = receive
        self._max_body_bytes = max_body_bytes
        self._ahead = b""
        """What has been read of the body, and not been given to anybody."""

    def permit_body(self, max_bytes: int, *, declared_bytes: int | None) -> None:
        """How large the body may be, before any of it is read. Raises RequestTooLarge."""
        self._max_body_bytes = max_bytes
        if declared_bytes is not None and declared_bytes > max_bytes:
            raise RequestTooLarge

    def bound_body(self, max_bytes: int | None) -> None:
        """No more than so many, and than before, are read."""
        if max_bytes is not None:
            self._max_body_bytes = min(max_bytes, self._max_body_bytes)

    async def body(self) -> AsyncIterator[bytes]:
        """Chunk by chunk."""
        ahead, self._ahead = self._ahead, b""
        if ahead:
            yield ahead
            del ahead
        while not self.body_ended:
            chunk = self._take(await self._receive())
            if chunk:
                yield chunk
        self._body_is_read()

    async def read(self, max_bytes: int | None = None) -> bytes:
        """The whole body."""
        self.bound_body(max_bytes)
        began = time.perf_counter()
        first = self._take(await self._receive())
        # As almost always it is all in one piece, whose length was declared.
        body = first if self.body_ended else b"".join([first, *[chunk async for chunk in self.body()]])
        self.waited_seconds += time.perf_counter() - began
        return body

    async def read_if_short(self, max_bytes: int) -> bytes | None:
        """The whole body, as `read` gives it, if it ends before this bound or with the chunk that passes it.
        None: it is longer, and all of it is still to be had of `body`.
        """
        read = bytearray()
        began = time.perf_counter()
        while not self.body_ended and len(read) <= max_bytes:
            read += self._take(await self._receive())
        self.waited_seconds += time.perf_counter() - began
        if self.body_ended:
            return bytes(read)
        self._ahead = bytes(read)
        return None

    def _take(self, message: Message) -> bytes:
        if message["type"] == "http.disconnect":
            raise self._failed(ClientDisconnected())
        chunk: bytes = message.get("body", b"")
        self.received_bytes += len(chunk)
        if self.received_bytes > self._max_body_bytes:
            raise self._failed(RequestTooLarge())
        self.on_growth(self.received_bytes)
        self.body_ended = not message.get("more_body", False)
        return chunk

    def _failed(self, failure: ClientDisconnected | ProxyError) -> Exception:
        self.failure = failure
        return failure

    def _body_is_read(self) -> None:
        """All of it, where it was read piece by piece."""


def _nothing_to_do(received_bytes: int) -> None:
    """Where nobody wants to know."""
