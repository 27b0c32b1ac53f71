"""A request's bytes on their way to upstream: the head as it was given, and the body with it, or piece by
piece while the answer is awaited. The body is as long as the head says, or the next request on the connection
would be read as its rest, or its rest as the next request.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from functools import partial
from typing import Any

import aiohttp
import httpx

from proxy.breathing import LARGE_BYTES

PIECE_BYTES = 256 * 1024
_NEED_NO_BODY = ("GET", "HEAD", "OPTIONS")


class WrongLength(aiohttp.ClientError):
    """The body is not as long as the request's head says: an error of ours."""

    def __init__(self) -> None:
        super().__init__("the request's body is not as long as declared")


class Outgoing:
    """While upstream does not take a piece of the body, a timer runs; while none is there to be taken, for
    the client is slow, none does.
    """

    def __init__(
        self, request: httpx.Request, seconds: float | None, first_byte_seconds: float | None
    ) -> None:
        """`seconds` are for each piece. Raises WrongLength, and ValueError where the head would be read as
        another.
        """
        self.is_whole = False
        """Whether all of it has been written."""
        self._body = b""
        self._pieces: AsyncIterable[bytes] | None = None
        self._is_chunked = False
        self._left: int | None = None
        """Bytes that are to be written of pieces whose length is declared."""
        self._is_answered = False
        """Then the answer's timers run."""
        self._seconds = seconds
        self._first_byte_seconds = first_byte_seconds
        self._task: asyncio.Task[None] | None = None
        stream, headers = request.stream, request.headers.raw
        declared = _declared(request)
        if isinstance(stream, httpx.ByteStream):
            body = b"".join(stream)
            if declared not in (None, len(body)):
                raise WrongLength
            if declared is None and (body or request.method not in _NEED_NO_BODY):
                headers.append((b"content-length", b"%d" % len(body)))
            if len(body) > LARGE_BYTES:
                self._pieces = _pieces(body)
            else:
                self._body = body
        else:
            assert isinstance(stream, httpx.AsyncByteStream)
            self._pieces, self._left = stream, declared
            if declared is None:
                self._is_chunked = True
                headers.append((b"transfer-encoding", b"chunked"))
        self._head = _head(request, headers)

    @property
    def is_under_way(self) -> bool:
        """Whether there are pieces that upstream has not taken."""
        return self._pieces is not None and not self.is_whole

    def begin(self, protocol: Any) -> None:
        """On aiohttp's side of a connection. Raises ClientConnectionResetError."""
        if self._pieces is None:
            _write(protocol, self._head + self._body)
            protocol.start_timeout()
            self.is_whole = True
        else:
            _write(protocol, self._head)
            self._task = asyncio.create_task(self._send(protocol, self._pieces))
            self._task.add_done_callback(partial(self._sent, protocol))

    def answered(self) -> None:
        """The head of the answer has come."""
        self._is_answered = True

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _send(self, protocol: Any, pieces: AsyncIterable[bytes]) -> None:
        async for piece in pieces:
            if not piece:
                continue  # as a chunk it would be the last
            self._count(piece)
            self._time(protocol, self._seconds)
            _write(protocol, b"%x\r\n%b\r\n" % (len(piece), piece) if self._is_chunked else piece)
            await protocol._drain_helper()
            self._time(protocol, None)
        if self._left:
            raise WrongLength
        if self._is_chunked:
            _write(protocol, b"0\r\n\r\n")
        self.is_whole = True
        self._time(protocol, self._first_byte_seconds)

    def _count(self, piece: bytes) -> None:
        """Raises WrongLength before a byte too much is written."""
        if self._left is not None:
            self._left -= len(piece)
            if self._left < 0:
                raise WrongLength

    def _sent(self, protocol: Any, task: asyncio.Task[None]) -> None:
        self._task = None
        problem = None if task.cancelled() else task.exception()
        # Of its own connection's end whoever waits for the answer hears anyway; and what the client's side
        # fails with is known there.
        if isinstance(problem, WrongLength):
            protocol.set_exception(WrongLength())
            if self._is_answered and protocol.transport is not None:
                protocol.transport.abort()  # upstream may wait for the rest, and we for that of its answer
        elif problem is not None and not isinstance(problem, ConnectionError):
            protocol.set_exception(aiohttp.ClientConnectionError("the request's body broke off"))

    def _time(self, protocol: Any, seconds: float | None) -> None:
        if not self._is_answered:
            protocol.read_timeout = seconds
            protocol.start_timeout()


def _write(protocol: Any, data: bytes) -> None:
    transport = protocol.transport
    if transport is None or transport.is_closing():
        raise aiohttp.ClientConnectionResetError("Cannot write to closing transport")
    transport.write(data)


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    """What a socket does not take at once is copied: not all of a large body."""
    for start in range(0, len(body), PIECE_BYTES):
        yield body[start : start + PIECE_BYTES]


def _declared(request: httpx.Request) -> int | None:
    """How long the head says that the body is. Raises WrongLength where that is no number."""
    value = request.headers.get("content-length")
    if value is None:
        return None
    if not (value.isascii() and value.isdigit()):
        raise WrongLength
    return int(value)


def _head(request: httpx.Request, headers: list[tuple[bytes, bytes]]) -> bytes:
    target = request.extensions.get("target") or request.url.raw_path
    if "host" not in request.headers:
        headers.insert(0, (b"host", request.url.netloc))
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    head = b"%b %b HTTP/1.1\r\n%b\r\n" % (request.method.encode("ascii"), target, lines)
    ends = len(headers) + 2
    if head.count(b"\r") != ends or head.count(b"\n") != ends:
        raise ValueError("a line ends within the request's head")
    return head
