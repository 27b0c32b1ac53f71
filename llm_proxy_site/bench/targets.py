"""What is compared: three servers, each in a process of its own, the proxy with and without limits."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from llm_proxy_site.bench import UPSTREAM_KEY
from llm_proxy_site.bench.cases import CASES, PATH
from llm_proxy_site.bench.room import MAX_CONNECTIONS
from llm_proxy_site.processes import MANAGE, ChildFailedError, manage, running
from llm_proxy_site.server.choice import DAPHNE

UPSTREAM = "upstream"
PASS_THROUGH = "pass-through"  # noqa: S105 (a target's name)
PROXY = "proxy"
LIMITED = "limited"
"""The same proxy, asked with a token that has all limits and budgets, none of which is reached."""

START_SECONDS = 120
PROJECT = "bench"
MARK = "@"
"""Between a target's name and its server's, where that is not the first of those that are compared."""
_LIMITS = [
    *("--max-requests", "1000000000"),
    *("--max-requests-per-minute", "100000000"),
    *("--max-model-tokens-per-minute", "100000000000"),
    *("--max-concurrent-requests", "100000"),
    *("--total-budget", "1000000"),
    *("--daily-budget", "1000000"),
    *("--weekly-budget", "1000000"),
    *("--monthly-budget", "1000000"),
]


@dataclass(frozen=True, slots=True)
class Target:
    name: str
    base_url: str
    """With /v1."""
    key: str
    """What a client shows as its bearer key."""
    pid: int
    more_headers: Mapping[str, str] = field(default_factory=dict)
    """That a client must send."""

    @property
    def headers(self) -> dict[str, str]:
        """Of every request."""
        return {
            "Authorization": f"Bearer {self.key}",
            "Content-Type": "application/json",
            **self.more_headers,
        }


@dataclass(frozen=True, slots=True)
class Server:
    """A process that can be started again and again, and is one or more targets."""

    name: str
    start: Callable[[], AbstractContextManager[list[Target]]]
    """Raises ChildFailedError."""


T = TypeVar("T")


def rotated(targets: Sequence[T], number: int) -> list[T]:
    """In each round another one is the first."""
    first = number % len(targets)
    return [*targets[first:], *targets[:first]]


@contextmanager
def running_upstream() -> Iterator[Target]:
    """Raises ChildFailedError."""
    with running("-m", "llm_proxy_site.fake_upstream", "--no-record", "--bind", "127.0.0.1:0") as (
        child,
        line,
    ):
        yield Target(UPSTREAM, line.split()[-1], UPSTREAM_KEY, child.pid)


def our_servers(upstream: Target, folder: Path, names: Sequence[str] = (DAPHNE,)) -> list[Server]:
    """The pass-through and the proxy under each of these servers, with its data in `folder`. Raises
    ChildFailedError.
    """
    return [
        server
        for number, name in enumerate(names)
        for server in _under(name, MARK + name if number else "", upstream, folder / name)
    ]


def _under(name: str, suffix: str, upstream: Target, folder: Path) -> list[Server]:
    proxied = proxy(upstream, folder, SERVER=name)
    return [
        Server(PASS_THROUGH + suffix, partial(_pass_through, upstream, name, suffix)),
        Server(proxied.name + suffix, partial(_renamed, proxied, suffix)),
    ]


@contextmanager
def _renamed(server: Server, suffix: str) -> Iterator[list[Target]]:
    with server.start() as targets:
        yield [replace(target, name=target.name + suffix) for target in targets]


@contextmanager
def running_targets(folder: Path) -> Iterator[list[Target]]:
    """Upstream, pass-through, proxy and limited. Raises ChildFailedError."""
    with running_upstream() as upstream, started(our_servers(upstream, folder)) as targets:
        yield [upstream, *targets]


@contextmanager
def running_proxy(folder: Path, **environment: str) -> Iterator[Target]:
    """The proxy alone, without limits, before the fake upstream. Raises ChildFailedError."""
    with running_upstream() as upstream, proxy(upstream, folder, **environment).start() as targets:
        yield targets[0]


@contextmanager
def started(servers: Sequence[Server]) -> Iterator[list[Target]]:
    """All of them at once. Raises ChildFailedError."""
    with ExitStack() as stack:
        yield [target for server in servers for target in stack.enter_context(server.start())]


def wait_for_answer(target: Target) -> None:
    """Raises ChildFailedError."""
    deadline = time.monotonic() + START_SECONDS
    while not _answers(target):
        if time.monotonic() > deadline:
            raise ChildFailedError(f"{target.name} gave no good answer within {START_SECONDS} s.")
        time.sleep(0.01)


def _answers(target: Target) -> bool:
    url = urlsplit(target.base_url)
    connection = HTTPConnection(url.netloc, timeout=START_SECONDS)
    try:
        connection.request("POST", url.path + PATH, CASES["json-1"].body, target.headers)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


@contextmanager
def _pass_through(upstream: Target, server: str, suffix: str) -> Iterator[list[Target]]:
    module = ("-m", "llm_proxy_site.bench.passthrough", "--server", server)
    with running(*module, "--upstream", upstream.base_url, "--bind", "127.0.0.1:0") as (child, line):
        yield [Target(PASS_THROUGH + suffix, line.split()[-1], "sk-bench-replaced", child.pid)]


def proxy(upstream: Target, folder: Path, **more: str) -> Server:
    """Set up, with its data in `folder`. Raises ChildFailedError."""
    environment = {
        "DATA_DIR": str(folder),
        "DATABASE_URL": "",
        "DEBUG": "false",
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "INFO",
        "WORKERS": "1",
        "MAX_CONNECTIONS": str(MAX_CONNECTIONS),
        "MAX_CONNECTIONS_PER_ADDRESS": "0",
        "UPSTREAM_MAX_CONNECTIONS": str(MAX_CONNECTIONS),
        "UPSTREAM_BASE_URL": upstream.base_url,
        **more,
    }
    manage("setup", "--json", environment=environment)
    manage("create_project", PROJECT, "--upstream-key", "-", environment=environment, stdin=UPSTREAM_KEY)
    keys = {
        name: json.loads(manage("create_token", PROJECT, *limits, "--json", environment=environment))["token"]
        for name, limits in ((PROXY, []), (LIMITED, _LIMITS))
    }
    return Server(PROXY, partial(_serve, folder / "proxy.log", environment, keys))


@contextmanager
def _serve(log_file: Path, environment: dict[str, str], keys: dict[str, str]) -> Iterator[list[Target]]:
    # A file, not a pipe: nobody would read the pipe, and a full one would stop the server.
    with ExitStack() as stack:
        log = stack.enter_context(log_file.open("w"))
        try:
            child, line = stack.enter_context(
                running(str(MANAGE), "serve", "--bind", "127.0.0.1:0", environment=environment, stderr=log)
            )
        except ChildFailedError as problem:
            raise ChildFailedError(f"{problem}: {log_file.read_text().strip()}") from None
        yield [Target(name, f"{line.split()[-1]}/v1", key, child.pid) for name, key in keys.items()]
