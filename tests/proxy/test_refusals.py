"""What an answer says of the key it came with; and that a look at it takes nothing away."""

import asyncio
import gzip
from collections.abc import AsyncIterator

import httpx
import pytest

from proxy import refusals
from proxy.refusals import KeyRefusal, refusal_in, refusal_of

QUOTA = (
    b'{"error": {"message": "m", "type": "insufficient_quota", "param": null, "code": "insufficient_quota"}}'
)
RATE = b'{"error": {"message": "m", "type": "requests", "param": null, "code": "rate_limit_exceeded"}}'


class Body(httpx.AsyncByteStream):
    def __init__(self, *chunks: bytes, ends: bool = True, breaks: bool = False) -> None:
        self.chunks, self.ends, self.breaks, self.is_closed = list(chunks), ends, breaks, False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await asyncio.sleep(0)
        if self.chunks:
            return self.chunks.pop(0)
        if self.breaks:
            raise httpx.ReadError("broken")
        if not self.ends:
            await asyncio.Event().wait()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.is_closed = True


async def rest_of(response: httpx.Response) -> bytes:
    return b"".join([chunk async for chunk in response.stream])


@pytest.mark.parametrize(("status", "refusal"), [(401, KeyRefusal(401)), (403, KeyRefusal(403)), (500, None)])
async def test_a_refused_key_is_known_by_the_status(status: int, refusal: KeyRefusal | None) -> None:
    body = Body(b"x")
    assert await refusal_in(httpx.Response(status, stream=body)) == refusal
    assert body.chunks == [b"x"]


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    ("said", "is_quota"), [(QUOTA, True), (RATE, False), (gzip.compress(QUOTA, mtime=0), True)]
)
async def test_a_429_is_looked_into_and_stays_as_it_was(said: bytes, is_quota: bool, size: int) -> None:
    chunks = [said[start : start + size] for start in range(0, len(said), size)]
    body = Body(*chunks)
    response = httpx.Response(429, stream=body)
    assert (await refusal_in(response) is not None) is is_quota
    assert await rest_of(response) == said
    await response.aclose()
    assert body.is_closed


async def test_a_look_is_bounded() -> None:
    chunk = b"x" * 10_000
    body = Body(*[chunk] * 100)
    response = httpx.Response(429, stream=body)
    assert await refusal_in(response) is None
    assert len(body.chunks) > 90
    assert await rest_of(response) == chunk * 100


async def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "PEEK_SECONDS", 0.05)
    body = Body(b"a", ends=False)
    response = httpx.Response(429, stream=body)
    assert await refusal_in(response) is None
    body.ends = True
    assert await rest_of(response) == b"a"


async def test_a_body_that_breaks_off_breaks_off_for_the_client_too() -> None:
    response = httpx.Response(429, stream=Body(b"a", breaks=True))
    assert await refusal_in(response) is None
    with pytest.raises(httpx.ReadError):
        await rest_of(response)


def test_an_answer_that_has_been_read_is_judged_likewise() -> None:
    assert refusal_of(429, QUOTA) == KeyRefusal(429)
    assert refusal_of(429, RATE) is None
    assert refusal_of(401, b"") == KeyRefusal(401)
