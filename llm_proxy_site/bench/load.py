"""`python -m llm_proxy_site.bench.load URL --case json-32 --seconds 4`: load a server, print what it saw.

A closed loop: each connection sends its next request when the last answer is complete. One answer that is
not as it should be ends the run. The bearer key comes on standard input, the Observation goes out as JSON.
"""

import argparse
import asyncio
import json
import sys
import time
from dataclasses import asdict

import aiohttp

from llm_proxy_site.bench.cases import CASES, PATH, Case
from llm_proxy_site.bench.measurement import Answer, Observation, observe

MAX_WARM_UP_SECONDS = 1.0
ANSWER_SECONDS = 30


class LoadFailedError(Exception):
    """An answer was wrong, broken off, or did not come; the message is a sentence."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m llm_proxy_site.bench.load", description=__doc__)
    parser.add_argument("base_url", help="with /v1")
    parser.add_argument("--case", choices=list(CASES), required=True)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    key = sys.stdin.readline().strip()
    try:
        observation = asyncio.run(load(options.base_url, key, CASES[options.case], options.seconds))
    except LoadFailedError as problem:
        sys.exit(str(problem))
    sys.stdout.write(json.dumps(asdict(observation)) + "\n")


async def load(base_url: str, key: str, case: Case, seconds: float) -> Observation:
    """Warm up, then measure for `seconds`. Raises LoadFailedError."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", **case.headers}
    seconds = max(seconds, case.least_seconds)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=case.connections),
        timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
        headers=headers,
    ) as session:
        loop = _ClosedLoop(session, base_url + PATH, case)
        began = time.perf_counter() + min(MAX_WARM_UP_SECONDS, seconds / 4)
        ended = began + seconds
        await asyncio.gather(*(loop.ask_until(ended) for _ in range(case.connections)))
    try:
        return observe(loop.answers, began, ended, is_stream=case.is_stream)
    except ValueError:
        raise LoadFailedError(f"{base_url} completed no answer within {seconds} s.") from None


class _ClosedLoop:
    def __init__(self, session: aiohttp.ClientSession, url: str, case: Case) -> None:
        self.answers: list[Answer] = []
        self._session = session
        self._url = url
        self._body = case.body
        self._ending = case.ending
        self._length: int | None = None

    async def ask_until(self, deadline: float) -> None:
        """One connection's part."""
        while time.perf_counter() < deadline:
            try:
                self.answers.append(await self._ask())
            except (aiohttp.ClientError, TimeoutError) as problem:
                raise LoadFailedError(f"{self._url} gave no complete answer: {problem!r}.") from problem

    async def _ask(self) -> Answer:
        began = time.perf_counter()
        first_chunk = None
        chunks = []
        async with self._session.post(self._url, data=self._body) as response:
            async for chunk in response.content.iter_any():
                first_chunk = first_chunk or time.perf_counter()
                chunks.append(chunk)
        ended = time.perf_counter()
        self._check(response.status, b"".join(chunks))
        return Answer(began, first_chunk or ended, ended)

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


if __name__ == "__main__":
    main()
