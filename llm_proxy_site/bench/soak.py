"""`python -m llm_proxy_site.bench.soak --requests 200000 --streams 20000`: does the proxy grow?

Requests and streams, with unknown tokens and clients that hang up among them, in a closed loop. The proxy's
memory and open files after the first tenth are compared with those at the end; more than 5 % of memory, or
more files than connections explain, fails the run.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

import aiohttp
import psutil

from llm_proxy_site.bench import files
from llm_proxy_site.bench.asking import LoadFailedError
from llm_proxy_site.bench.cases import CASES, PATH
from llm_proxy_site.bench.targets import Target, running_proxy
from llm_proxy_site.processes import end_as_by_ctrl_c
from tokens.format import generate

SAMPLES = 100
MAX_GROWTH = 0.05
SPARE_FILES = 8
BAD_EVERY = 100
"""Of so many requests one has an unknown token, and one is broken off."""
ANSWER_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Sample:
    asked: int
    seconds: float
    rss_mb: float
    files: int


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m llm_proxy_site.bench.soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--streams", type=int, default=20_000)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--output", type=Path, help="a JSON file for all samples")
    options = parser.parse_args()
    if min(options.requests, options.streams) < 0 or options.requests + options.streams < SAMPLES:
        parser.error(f"Less than {SAMPLES} requests and streams show nothing.")
    if options.connections < 1:
        parser.error("It takes a connection at least.")
    if options.output is not None:
        try:
            files.prepare(options.output, ())
        except OSError as problem:
            parser.error(f"{options.output} cannot be written: {problem.strerror}.")
    end_as_by_ctrl_c()
    with (
        tempfile.TemporaryDirectory(prefix="llm-proxy-soak-") as folder,
        # A line for each request would fill the disk.
        running_proxy(Path(folder), LOG_LEVEL="WARNING", LEDGER_BATCH_SECONDS="0.5") as target,
    ):
        try:
            samples = asyncio.run(soak(target, options.requests, options.streams, options.connections))
        except LoadFailedError as problem:
            sys.exit(str(problem))
    if options.output is not None:
        options.output.write_text(json.dumps([asdict(sample) for sample in samples], indent=1) + "\n")
    early, late = samples[len(samples) // 10], samples[-1]
    sys.stdout.write(f"{_text(early)}\n{_text(late)}\ngrowth {growth(samples):+.1%}\n")
    if growth(samples) > MAX_GROWTH or late.files > early.files + SPARE_FILES:
        sys.exit("The proxy grows.")


async def soak(target: Target, requests: int, streams: int, connections: int) -> list[Sample]:
    """Samples in the order of their making, one for each hundredth. Raises LoadFailedError."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections),
        timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
        headers={"Content-Type": "application/json"},
    ) as session:
        run = _Run(session, target, requests + streams, (requests + streams) // max(streams, 1))
        await asyncio.gather(*(run.ask_on() for _ in range(connections)))
    return run.samples


def growth(samples: list[Sample]) -> float:
    """Of the memory, from the first tenth to the end."""
    return samples[-1].rss_mb / samples[len(samples) // 10].rss_mb - 1


class _Run:
    def __init__(self, session: aiohttp.ClientSession, target: Target, total: int, stream_every: int) -> None:
        self.samples: list[Sample] = []
        self._session = session
        self._url = target.base_url + PATH
        self._known = {"Authorization": f"Bearer {target.key}"}
        self._total = total
        self._stream_every = stream_every
        self._sample_every = max(1, total // SAMPLES)
        self._process = psutil.Process(target.pid)
        self._numbers = count(1)
        self._began = time.perf_counter()

    async def ask_on(self) -> None:
        """One connection's part of all."""
        while (number := next(self._numbers)) <= self._total:
            try:
                await self._ask(number)
            except (aiohttp.ClientError, TimeoutError) as problem:
                raise LoadFailedError(f"{self._url} gave no complete answer: {problem!r}.") from problem
            if number % self._sample_every == 0:
                self._take_sample(number)

    async def _ask(self, number: int) -> None:
        case = CASES["stream-1" if number % self._stream_every == 0 else "json-1"]
        await self._answered(case.body, self._known, case.ending)
        if number % BAD_EVERY == 0:
            await self._answered(case.body, {"Authorization": f"Bearer {generate()[1]}"}, b"}", 401)
        elif number % BAD_EVERY == 1:
            await self._break_off()

    async def _answered(self, body: bytes, headers: dict[str, str], ending: bytes, status: int = 200) -> None:
        async with self._session.post(self._url, data=body, headers=headers) as response:
            answer = await response.read()
        if response.status != status or not answer.endswith(ending):
            raise LoadFailedError(f"{self._url} answered {response.status}: {answer[-300:]!r}")

    async def _break_off(self) -> None:
        slow = {**self._known, "x-fake-chunk-delay-ms": "50"}
        async with self._session.post(self._url, data=CASES["stream-1"].body, headers=slow) as response:
            await response.content.readany()
            response.close()

    def _take_sample(self, number: int) -> None:
        seconds = time.perf_counter() - self._began
        rss = self._process.memory_info().rss / 2**20
        self.samples.append(Sample(number, seconds, rss, self._process.num_fds()))
        if len(self.samples) % 10 == 0:
            sys.stderr.write(f"{_text(self.samples[-1])}\n")


def _text(sample: Sample) -> str:
    return f"{sample.asked} asked, {sample.seconds:.0f} s: {sample.rss_mb:.1f} MB, {sample.files} files"


if __name__ == "__main__":
    main()
