"""One request of the load: its instants, and whether its answer is whole."""

import time

import aiohttp

from llm_proxy_site.bench.cases import PATH, Case
from llm_proxy_site.bench.measurement import Answer
from llm_proxy_site.fake_upstream.instants import Delays


class LoadFailedError(Exception):
    """An answer was wrong, broken off, or did not come; the message is a sentence."""


class Asker:
    """Asks one server the same again and again. All answers have the length of the first."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, case: Case) -> None:
        self._session = session
        self._url = base_url + PATH
        self._body = case.body
        self._ending = case.ending
        self._is_paced = bool(case.chunk_delay_ms)
        self._length: int | None = None

    async def ask(self, began: float, *, give_up_at: float) -> Answer:
        """The answer counts from `began`; both are instants of `time.perf_counter`.

        Raises LoadFailedError, and TimeoutError when it is given up.
        """
        first_chunk = None
        chunks = []
        delays = Delays()
        chunk_delays: list[float] = []
        timeout = aiohttp.ClientTimeout(total=max(give_up_at - time.perf_counter(), 0.001))
        try:
            async with self._session.post(self._url, data=self._body, timeout=timeout) as response:
                async for chunk in response.content.iter_any():
                    first_chunk = first_chunk or time.perf_counter()
                    chunks.append(chunk)
                    if self._is_paced:
                        chunk_delays += delays.feed(chunk)
        except aiohttp.ClientError as problem:
            raise LoadFailedError(f"{self._url} gave no complete answer: {problem!r}.") from problem
        ended = time.perf_counter()
        self._check(response.status, b"".join(chunks))
        return Answer(began, first_chunk or ended, ended, chunk_delays=tuple(chunk_delays))

    def _check(self, status: int, body: bytes) -> None:
        if status != 200:
            raise LoadFailedError(f"{self._url} answered {status}: {body[:300].decode(errors='replace')}")
        if self._length is None:
            self._length = len(body)
        if len(body) != self._length or not body.endswith(self._ending):
            raise LoadFailedError(
                f"{self._url} answered with {len(body)} bytes that end in {body[-20:]!r}:"
                f" the first answer had {self._length}, and a whole one ends in {self._ending!r}."
            )
