"""Real servers for tests: the fake upstream and `manage.py serve`, on free ports."""

import asyncio
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import psutil

from llm_proxy_site.processes import MANAGE, running
from tests.databases import own_database_url

T = TypeVar("T")

POLL_SECONDS = 0.03
"""Whoever looks more often takes the processor from what it waits for."""

WORKERS = os.environ.get("TEST_WORKERS", "1")
"""Each server has so many; `make test-shared` runs the tests of what workers share with two."""
SHARED = (
    {"WORKERS": WORKERS, "REDIS_URL": os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379")}
    if WORKERS != "1"
    else {}
)


NOT_MEASURED = {"COVERAGE_PROCESS_CONFIG": ""}
"""For servers that run what others run, which are measured: to be traced doubles what a server costs."""


@dataclass(frozen=True)
class LiveProxy:
    url: str
    upstream_url: str
    process: subprocess.Popen[str]
    log_file: Path

    @property
    def base_url(self) -> str:
        """What an SDK is given."""
        return f"{self.url}/v1"

    def upstream_stats(self) -> dict[str, int]:
        stats: dict[str, int] = self._fake("stats")
        return stats

    def upstream_requests(self, marker: str) -> list[dict[str, Any]]:
        """The requests that upstream has received with this text in a header or in their target."""
        requests: list[dict[str, Any]] = self._fake("requests", mentioning=marker)
        return requests

    def fault_key(self, upstream_key: str, **faults: str) -> None:
        """What the fake upstream does to requests with this key from now on; nothing: as usual."""
        script = {f"x-fake-{name.replace('_', '-')}": value for name, value in faults.items()}
        httpx.put(
            self.upstream_url.removesuffix("/v1") + f"/_fake/keys/{upstream_key}", json=script
        ).raise_for_status()

    def listens(self) -> bool:
        server = urlsplit(self.url)
        try:
            socket.create_connection((server.hostname or "", server.port or 0), timeout=5).close()
        except ConnectionRefusedError:
            return False
        return True

    def rss_bytes(self) -> int:
        rss: int = psutil.Process(self.process.pid).memory_info().rss
        return rss

    def kill(self) -> None:
        """All its processes, at once."""
        supervisor = psutil.Process(self.process.pid)
        supervisor.suspend()  # else it would replace them
        for process in (*supervisor.children(), supervisor):
            process.kill()
        self.process.wait()

    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8")

    def _fake(self, what: str, **query: str) -> Any:
        return httpx.get(self.upstream_url.removesuffix("/v1") + f"/_fake/{what}", params=query).json()


@contextmanager
def serving(folder: Path, *, is_measured: bool = False, **environment: str) -> Iterator[LiveProxy]:
    """A proxy in front of a fake upstream, on this process's test database."""
    with serving_many(1, folder, is_measured=is_measured, **environment) as (live,):
        yield live


@contextmanager
def serving_many(
    count: int, folder: Path, *, is_measured: bool = False, **environment: str
) -> Iterator[list[LiveProxy]]:
    """Several proxies in front of one fake upstream, on this process's test database."""
    if not is_measured:
        environment = {**NOT_MEASURED, **environment}
    upstream = ("-m", "llm_proxy_site.fake_upstream", "--bind", "127.0.0.1:0")
    with ExitStack() as stack:
        _, line = stack.enter_context(running(*upstream, environment={} if is_measured else NOT_MEASURED))
        upstream_url = line.split()[-1]
        yield [
            stack.enter_context(proxy_before(upstream_url, folder / f"proxy-{number}.log", **environment))
            for number in range(count)
        ]


@contextmanager
def proxy_before(upstream_url: str, log_file: Path, **environment: str) -> Iterator[LiveProxy]:
    """A proxy in front of this upstream, on this process's test database."""
    settings = {
        "DATABASE_URL": own_database_url(),
        **(SHARED if environment.get("REDIS_URL") != "" else {}),
        "UPSTREAM_BASE_URL": upstream_url,
        "SPOOL_DIR": str(log_file.parent / "spool"),
        "LEDGER_BATCH_SECONDS": "0.05",
        "LOG_LEVEL": "INFO",
        "EXCHANGE_LOOPBACK_HTTP": "true",
        "REDIS_TIMEOUT_SECONDS": "10",  # a busy machine is no outage
        **environment,
    }
    with (
        log_file.open("a") as stderr,
        running(str(MANAGE), "serve", "--bind", "127.0.0.1:0", environment=settings, stderr=stderr) as (
            process,
            line,
        ),
    ):
        yield LiveProxy(line.split()[-1], upstream_url, process, log_file)


def eventually(found: Callable[[], T], *, within_seconds: float = 10) -> T:
    """What `found` returns as soon as that is truthy. Fails the test after the deadline."""
    deadline = time.monotonic() + within_seconds
    while True:
        value = found()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {within_seconds} s; last seen: {value!r}"
        time.sleep(POLL_SECONDS)


async def eventually_async(found: Callable[[], T], *, within_seconds: float = 10) -> T:
    """As `eventually`, for what comes about on this event loop."""
    deadline = time.monotonic() + within_seconds
    while not (value := found()):
        assert time.monotonic() < deadline, f"not within {within_seconds} s; last seen: {value!r}"
        await asyncio.sleep(POLL_SECONDS)
    return value
