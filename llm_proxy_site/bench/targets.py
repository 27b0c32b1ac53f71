"""What is compared: three servers, each in a process of its own, the proxy with and without limits."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from llm_proxy_site.bench import UPSTREAM_KEY
from llm_proxy_site.processes import MANAGE, ChildFailedError, manage, running

UPSTREAM = "upstream"
PASS_THROUGH = "pass-through"  # noqa: S105 (a target's name)
PROXY = "proxy"
LIMITED = "limited"
"""The same proxy, asked with a token that has all limits and budgets, none of which is reached."""

PROJECT = "bench"
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


@contextmanager
def running_targets(folder: Path) -> Iterator[list[Target]]:
    """Upstream, pass-through, proxy and limited, the last two one process with its data in `folder`.

    Raises ChildFailedError.
    """
    with ExitStack() as stack:
        upstream = _upstream(stack)
        yield [upstream, _pass_through(stack, upstream), *_proxies(stack, upstream, folder)]


@contextmanager
def running_proxy(folder: Path, **environment: str) -> Iterator[Target]:
    """The proxy alone, without limits, before the fake upstream. Raises ChildFailedError."""
    with ExitStack() as stack:
        yield _proxies(stack, _upstream(stack), folder, **environment)[0]


def _upstream(stack: ExitStack) -> Target:
    child, line = stack.enter_context(
        running("-m", "llm_proxy_site.fake_upstream", "--no-record", "--bind", "127.0.0.1:0")
    )
    return Target(UPSTREAM, line.split()[-1], UPSTREAM_KEY, child.pid)


def _pass_through(stack: ExitStack, upstream: Target) -> Target:
    child, line = stack.enter_context(
        running(
            "-m", "llm_proxy_site.bench.passthrough", "--upstream", upstream.base_url, "--bind", "127.0.0.1:0"
        )
    )
    return Target(PASS_THROUGH, line.split()[-1], "sk-bench-replaced", child.pid)


def _proxies(stack: ExitStack, upstream: Target, folder: Path, **more: str) -> list[Target]:
    environment = {
        "DATA_DIR": str(folder),
        "DATABASE_URL": "",
        "DEBUG": "false",
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "INFO",
        "WORKERS": "1",
        "UPSTREAM_BASE_URL": upstream.base_url,
        **more,
    }
    manage("setup", "--json", environment=environment)
    manage("create_project", PROJECT, "--upstream-key", "-", environment=environment, stdin=UPSTREAM_KEY)
    keys = {
        name: json.loads(manage("create_token", PROJECT, *limits, "--json", environment=environment))["token"]
        for name, limits in ((PROXY, []), (LIMITED, _LIMITS))
    }
    # A file, not a pipe: nobody would read the pipe, and a full one would stop the server.
    log_file = folder / "proxy.log"
    log = stack.enter_context(log_file.open("w"))
    try:
        child, line = stack.enter_context(
            running(str(MANAGE), "serve", "--bind", "127.0.0.1:0", environment=environment, stderr=log)
        )
    except ChildFailedError as problem:
        raise ChildFailedError(f"{problem}: {log_file.read_text().strip()}") from None
    return [Target(name, f"{line.split()[-1]}/v1", key, child.pid) for name, key in keys.items()]
