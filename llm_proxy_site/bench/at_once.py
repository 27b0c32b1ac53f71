"""How many streams at once a target serves before their chunks come late."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp

from llm_proxy_site.bench.asking import LoadFailedError
from llm_proxy_site.bench.cases import CASES, PATH
from llm_proxy_site.bench.measurement import percentile
from llm_proxy_site.bench.targets import Target
from llm_proxy_site.fake_upstream.instants import Delays

STREAMS = (50, 100, 200, 400, 800)
CHUNK_EVERY_MS = 100
_CASE = CASES["stream-1"]
MAX_DELAY_MS = 100
"""Of 99 % of the chunks: then one has not come when the next one is sent."""
OPENING_SECONDS = 1.0
"""Over which streams are opened, so that their chunks do not all come at the same instant; and so long it is
waited after it.
"""


@dataclass(frozen=True, slots=True)
class AtOnce:
    """So many streams, of which a chunk is sent every 100 ms."""

    streams: int
    begun: int | None
    """None: see `problem`."""
    chunk_p50_ms: float | None
    chunk_p99_ms: float | None
    problem: str = ""
    """Why it was broken off: a stream was refused, or did not come to its end."""

    @property
    def is_served(self) -> bool:
        is_in_time = self.chunk_p99_ms is not None and self.chunk_p99_ms <= MAX_DELAY_MS
        return is_in_time and self.begun == self.streams


def streams_at_once(target: Target, steps: Sequence[int], seconds: float) -> tuple[AtOnce, ...]:
    """Each step, measured for `seconds`, up to the first that is not served.

    Raises LoadFailedError if that is broken off at the very first: then it is not for their number.
    """
    seen = []
    for streams in steps:
        try:
            seen.append(asyncio.run(_measure(target, streams, seconds)))
        except LoadFailedError as problem:
            if not seen:
                raise
            seen.append(AtOnce(streams, None, None, None, str(problem)))
        if not seen[-1].is_served:
            break
    return tuple(seen)


async def _measure(target: Target, streams: int, seconds: float) -> AtOnce:
    opening = min(OPENING_SECONDS, seconds)
    all_seconds = 2 * opening + seconds
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None)
    ) as session:
        readers = [
            _Reader(session, target, after, all_seconds - after)
            for after in (opening * number / streams for number in range(streams))
        ]
        reading = [asyncio.ensure_future(reader.read()) for reader in readers]
        await asyncio.sleep(2 * opening)
        for reader in readers:
            reader.delays.clear()
        await asyncio.wait(reading, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        delays = [delay for reader in readers for delay in reader.delays]
        await _end(reading)
    return AtOnce(
        streams,
        sum(reader.has_begun for reader in readers),
        percentile(delays, 50) * 1000 if delays else None,
        percentile(delays, 99) * 1000 if delays else None,
    )


async def _end(reading: Sequence[asyncio.Task[None]]) -> None:
    """Streams of a target that keeps up are ending now; the others are broken off."""
    done, late = await asyncio.wait(reading, timeout=OPENING_SECONDS, return_when=asyncio.FIRST_EXCEPTION)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    for task in done:
        task.result()


class _Reader:
    """Reads one stream, which begins after some seconds and takes some."""

    def __init__(self, session: aiohttp.ClientSession, target: Target, after: float, seconds: float) -> None:
        self.delays: list[float] = []
        self.has_begun = False
        self._session = session
        self._target = target
        self._after = after
        self._headers = {
            **target.headers,
            "x-fake-chunks": str(math.ceil(seconds * 1000 / CHUNK_EVERY_MS)),
            "x-fake-chunk-delay-ms": str(CHUNK_EVERY_MS),
            "x-fake-clock": "1",
        }

    async def read(self) -> None:
        await asyncio.sleep(self._after)
        url = self._target.base_url + PATH
        try:
            async with self._session.post(url, data=_CASE.body, headers=self._headers) as response:
                if response.status != 200:
                    raise LoadFailedError(f"{url} answered {response.status}: {await response.text()}")
                await self._read(response)
        except aiohttp.ClientError as problem:
            raise LoadFailedError(f"{url} broke a stream off: {problem!r}.") from problem

    async def _read(self, response: aiohttp.ClientResponse) -> None:
        words = Delays()
        end = b""
        async for chunk in response.content.iter_any():
            self.has_begun = True
            self.delays += words.feed(chunk)
            end = (end + chunk)[-len(_CASE.ending) :]
        if end != _CASE.ending:
            raise LoadFailedError(f"{response.url} ended a stream with {end!r}.")
