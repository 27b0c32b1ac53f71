"""`python -m llm_proxy_site.bench.idle_streams --streams 2000`: what a stream costs that says little.

So many streams are opened, each says a word every ten seconds, and nothing else is asked.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import psutil

from llm_proxy_site.bench.cases import CASES, PATH
from llm_proxy_site.bench.room import raise_file_limit
from llm_proxy_site.bench.targets import Target, running_proxy
from llm_proxy_site.processes import end_as_by_ctrl_c

EVERY_MS = 10_000
AT_ONCE = 50
"""Streams that are being opened."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m llm_proxy_site.bench.idle_streams", description=__doc__)
    parser.add_argument("--streams", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=30)
    options = parser.parse_args()
    if options.streams < 1 or options.seconds <= 0:
        parser.error("It takes a stream, and some time.")
    end_as_by_ctrl_c()
    raise_file_limit()
    streams = str(options.streams + 10)
    with (
        tempfile.TemporaryDirectory(prefix="llm-proxy-streams-") as folder,
        running_proxy(
            Path(folder),
            MAX_CONNECTIONS=streams,
            UPSTREAM_MAX_CONNECTIONS=streams,
        ) as target,
    ):
        sys.stdout.write(asyncio.run(measure(target, options.streams, options.seconds)) + "\n")


async def measure(target: Target, streams: int, seconds: float) -> str:
    process = psutil.Process(target.pid)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None)
            )
        )
        await _open(stack, session, target)  # what is loaded and compiled with the first is not a stream's
        before = process.memory_info().rss
        slots = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(_open(stack, session, target, slots) for _ in range(streams)))
        opened = process.memory_info().rss
        cpu, began = _cpu_seconds(process), time.perf_counter()
        await asyncio.sleep(seconds)
        share = (_cpu_seconds(process) - cpu) / (time.perf_counter() - began)
        after = process.memory_info().rss
    each, later = ((rss - before) / streams / 1024 for rss in (opened, after))
    return (
        f"{streams} streams, a word every {EVERY_MS // 1000} s: {each:.1f} KiB each "
        f"({later:.1f} KiB after {seconds:.0f} s), CPU {share:.1%}"
    )


async def _open(
    stack: AsyncExitStack,
    session: aiohttp.ClientSession,
    target: Target,
    slots: asyncio.Semaphore | None = None,
) -> None:
    headers = {
        "Authorization": f"Bearer {target.key}",
        "Content-Type": "application/json",
        "x-fake-chunks": "100000",
        "x-fake-chunk-delay-ms": str(EVERY_MS),
    }
    async with slots or asyncio.Semaphore(1):
        response = await session.post(target.base_url + PATH, data=CASES["stream-1"].body, headers=headers)
        stack.callback(response.close)
        response.raise_for_status()
        await response.content.readany()


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    main()
