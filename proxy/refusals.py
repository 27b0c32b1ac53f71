"""Whether upstream's answer says that it does not want the key it came with. Of a 429 that takes a look at
its body: what was read is given back in front of the rest, byte for byte.
"""

import asyncio
import zlib
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus
from uuid import UUID

import httpx

MAX_PEEKED_BYTES = 64 * 1024
PEEK_SECONDS = 2.0
QUOTA = "insufficient_quota"
REFUSED_SECONDS = 30.0
MAX_REFUSED = 4096


@dataclass(frozen=True, slots=True)
class KeyRefusal:
    status: int

    @property
    def is_quota(self) -> bool:
        return self.status == HTTPStatus.TOO_MANY_REQUESTS

    @property
    def code(self) -> str:
        """For people, and the key's health."""
        return f"429 {QUOTA}" if self.is_quota else str(self.status)


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks for what: whose refusal concerns nobody else."""

    token_id: UUID
    path: str


class RefusedRequests:
    """What several keys were refused for just now: other keys would be, too."""

    def __init__(self) -> None:
        self._until: OrderedDict[Asking, float] = OrderedDict()

    def note(self, asking: Asking, now: float) -> None:
        self._until[asking] = now + REFUSED_SECONDS
        self._until.move_to_end(asking)
        if len(self._until) > MAX_REFUSED:
            self._until.popitem(last=False)

    def has(self, asking: Asking, now: float) -> bool:
        return self._until.get(asking, 0.0) > now


async def refusal_in(response: httpx.Response) -> KeyRefusal | None:
    """None: the answer speaks of something else. The answer's stream is still whole."""
    status = response.status_code
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return KeyRefusal(status)
    if status == HTTPStatus.TOO_MANY_REQUESTS and QUOTA.encode() in _readable(await _peek(response)):
        return KeyRefusal(status)
    return None


def refusal_of(status: int, body: bytes) -> KeyRefusal | None:
    """As `refusal_in`, of an answer that has been read."""
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return KeyRefusal(status)
    return (
        KeyRefusal(status)
        if status == HTTPStatus.TOO_MANY_REQUESTS and QUOTA.encode() in _readable(body)
        else None
    )


class _PutBack(httpx.AsyncByteStream):
    """A stream of which the beginning has been read."""

    def __init__(
        self, beginning: list[bytes], rest: httpx.AsyncByteStream, chunks: AsyncIterator[bytes]
    ) -> None:
        self._beginning = beginning
        self._rest = rest
        self._chunks = chunks

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return self._beginning.pop(0) if self._beginning else await anext(self._chunks)

    async def aclose(self) -> None:
        await self._rest.aclose()


async def _peek(response: httpx.Response) -> bytes:
    stream = response.stream
    assert isinstance(stream, httpx.AsyncByteStream)
    chunks, read = aiter(stream), list[bytes]()
    response.stream = _PutBack(read, stream, chunks)
    try:
        async with asyncio.timeout(PEEK_SECONDS):
            while sum(map(len, read)) < MAX_PEEKED_BYTES and (chunk := await anext(chunks, None)) is not None:
                read.append(chunk)
    except (TimeoutError, httpx.TransportError):
        pass  # whoever relays the rest meets it again
    return b"".join(read)


def _readable(body: bytes) -> bytes:
    if not body.startswith(b"\x1f\x8b"):
        return body
    try:
        return zlib.decompressobj(wbits=31).decompress(body, MAX_PEEKED_BYTES)
    except zlib.error:
        return b""
