"""Sends an answer with OpenAI's headers, in the way that the faults prescribe."""

import asyncio
import socket
import struct
import zlib
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import NoReturn

from aiohttp import web
from multidict import CIMultiDict

from .answers import Answer
from .faults import Faults
from .instants import stamped
from .patterns import BLOCK_BYTES
from .recording import Record

# Two names occur twice, since a proxy must not merge them.
HEADERS: CIMultiDict[str] = CIMultiDict(
    [
        ("server", "cloudflare"),
        ("access-control-expose-headers", "X-Request-ID"),
        ("openai-organization", "org-fake"),
        ("openai-project", "proj_fake"),
        ("openai-version", "2020-10-01"),
        ("x-ratelimit-limit-requests", "10000"),
        ("x-ratelimit-limit-tokens", "2000000"),
        ("x-ratelimit-remaining-requests", "9999"),
        ("x-ratelimit-remaining-tokens", "1999000"),
        ("x-ratelimit-reset-requests", "6ms"),
        ("x-ratelimit-reset-tokens", "30ms"),
        ("x-fake-duplicate", "one"),
        ("x-fake-duplicate", "two"),
        ("set-cookie", "__cf_bm=fake; path=/; HttpOnly; Secure; SameSite=None"),
        ("set-cookie", "_cfuvid=fake; path=/; HttpOnly; Secure; SameSite=None"),
    ]
)
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


async def deliver(answer: Answer, faults: Faults, request: web.Request, record: Record) -> web.StreamResponse:
    if faults.delay_ms:
        await asyncio.sleep(faults.delay_ms / 1000)
    if faults.hang == "1":
        await _forever()
    if faults.reset:
        await _cut(request, record)
    headers = _headers(answer, faults, record)
    if isinstance(answer.body, bytes) and not faults.affect_body:
        return web.Response(body=answer.body, status=answer.status, headers=headers)
    try:
        return await _stream(answer, faults, request, record, headers)
    except ConnectionError:
        # The write failed before aiohttp has cancelled us, which it will do at the next await.
        record.end("closed_by_client")
        await _forever()


def digest_of(record: Record, faults: Faults) -> str:
    """What all ids are made from: SHA-256, in hexadecimal."""
    return record.sha256.hexdigest() if faults.seed is None else sha256(faults.seed.encode()).hexdigest()


def _headers(answer: Answer, faults: Faults, record: Record) -> CIMultiDict[str]:
    headers = HEADERS.copy()
    digest = digest_of(record, faults)
    headers["content-type"] = answer.content_type
    headers["x-request-id"] = f"req_{digest[:32]}"
    headers["openai-processing-ms"] = str(int(digest[:2], 16))
    headers.extend(answer.headers)
    if faults.retry_after is not None:
        headers["retry-after"] = faults.retry_after
    if faults.should_retry is not None:
        headers["x-should-retry"] = faults.should_retry
    return headers


async def _stream(
    answer: Answer, faults: Faults, request: web.Request, record: Record, headers: CIMultiDict[str]
) -> web.StreamResponse:
    pieces, size = _pieces(answer, faults)
    if faults.encoding:
        pieces, size = _gzipped(pieces), None
        headers["content-encoding"] = faults.encoding
    response = web.StreamResponse(status=answer.status, headers=headers)
    response.content_length = size
    await response.prepare(request)
    if faults.hang:
        await _forever()
    if request.method == "HEAD":
        return response  # aiohttp would write a body all the same
    sent = 0
    for piece in pieces:
        if sent in (faults.cut_after, faults.end_after):
            break
        if sent and faults.chunk_delay_ms:
            await asyncio.sleep(faults.chunk_delay_ms / 1000)
        await response.write(stamped(piece) if faults.clock else piece)
        sent += 1
    if sent == faults.cut_after:
        await _cut(request, record)
    if faults.end_delay_ms:
        await asyncio.sleep(faults.end_delay_ms / 1000)
    await response.write_eof()
    return response


def _pieces(answer: Answer, faults: Faults) -> tuple[Iterator[bytes], int | None]:
    if not isinstance(answer.body, bytes):
        return answer.body, answer.size
    if faults.size_bytes is None or answer.content_type != "application/json":
        return _split(answer.body, max(faults.chunks, 1)), len(answer.body)
    return _padded(answer.body, faults.size_bytes), max(faults.size_bytes, len(answer.body))


def _split(body: bytes, count: int) -> Iterator[bytes]:
    step = -(-len(body) // count)
    return (body[start : start + step] for start in range(0, len(body), step))


def _padded(body: bytes, size: int) -> Iterator[bytes]:
    """Make a JSON object this large by a first member `padding`, so that what matters comes last."""
    start, end = b'{"padding":"', b'",' + body[1:]
    missing = size - len(start) - len(end)
    if missing < 0:
        yield body + b" " * (size - len(body))
        return
    yield start
    for sent in range(0, missing, BLOCK_BYTES):
        yield b"x" * min(BLOCK_BYTES, missing - sent)
    yield end


def _gzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Piece by piece; the end of the compression comes with the last one."""
    compressor = zlib.compressobj(wbits=31)
    last = b""
    for number, piece in enumerate(pieces):
        if number:
            yield compressor.compress(last) + compressor.flush(zlib.Z_SYNC_FLUSH)
        last = piece
    yield compressor.compress(last) + compressor.flush()


async def _cut(request: web.Request, record: Record) -> NoReturn:
    record.end("finished")  # it was us, not the client
    reset(request)
    await _forever()


def reset(request: web.Request) -> None:
    """Break the connection off, so that its other end notices."""
    if request.transport:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        request.transport.abort()


async def _forever() -> NoReturn:
    """Until the connection is gone, which cancels the handler."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError("unreachable")
