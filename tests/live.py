"""Real servers for tests: the fake upstream and `manage.py serve`, on free ports."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

from llm_proxy_site.processes import MANAGE, running

T = TypeVar("T")


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
        return [
            request
            for request in self._fake("requests")
            if marker in request["target"] or any(marker in value for _, value in request["headers"])
        ]

    def rss_bytes(self) -> int:
        rss: int = psutil.Process(self.process.pid).memory_info().rss
        return rss

    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8")

    def _fake(self, what: str) -> Any:
        return httpx.get(self.upstream_url.removesuffix("/v1") + f"/_fake/{what}").json()


@contextmanager
def serving(folder: Path, **environment: str) -> Iterator[LiveProxy]:
    """A proxy in front of a fake upstream, on this process's test database."""
    from django.db import connection

    database = connection.settings_dict["NAME"]
    log_file = folder / "proxy.log"
    with (
        running("-m", "llm_proxy_site.fake_upstream", "--bind", "127.0.0.1:0") as (_, upstream_line),
        log_file.open("w") as stderr,
    ):
        upstream_url = upstream_line.split()[-1]
        settings = {
            "DATABASE_URL": f"sqlite:///{database}",
            "UPSTREAM_BASE_URL": upstream_url,
            "LEDGER_BATCH_SECONDS": "0.05",
            "LOG_LEVEL": "INFO",
            **environment,
        }
        with running(str(MANAGE), "serve", "--bind", "127.0.0.1:0", environment=settings, stderr=stderr) as (
            process,
            line,
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
        time.sleep(0.01)
