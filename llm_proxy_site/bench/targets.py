"""The three servers that are compared, each in a process of its own."""

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

PROJECT = "bench"


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
    """Upstream, pass-through and proxy, the latter with its data in `folder`. Raises ChildFailedError."""
    with ExitStack() as stack:
        upstream = _upstream(stack)
        yield [upstream, _pass_through(stack, upstream), _proxy(stack, upstream, folder)]


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


def _proxy(stack: ExitStack, upstream: Target, folder: Path) -> Target:
    environment = {
        "DATA_DIR": str(folder),
        "DATABASE_URL": "",
        "DEBUG": "false",
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "INFO",
        "UPSTREAM_BASE_URL": upstream.base_url,
    }
    manage("setup", "--json", environment=environment)
    manage("create_project", PROJECT, "--upstream-key", "-", environment=environment, stdin=UPSTREAM_KEY)
    issued = manage("create_token", PROJECT, "--name", "bench", "--json", environment=environment)
    # A file, not a pipe: nobody would read the pipe, and a full one would stop the server.
    log_file = folder / "proxy.log"
    log = stack.enter_context(log_file.open("w"))
    try:
        child, line = stack.enter_context(
            running(str(MANAGE), "serve", "--bind", "127.0.0.1:0", environment=environment, stderr=log)
        )
    except ChildFailedError as problem:
        raise ChildFailedError(f"{problem}: {log_file.read_text().strip()}") from None
    return Target(PROXY, f"{line.split()[-1]}/v1", json.loads(issued)["token"], child.pid)
