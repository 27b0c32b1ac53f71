"""What the ledger costs with few requests and with many: the same, act by act, on one ledger after the other.

So whatever else the machine does disturbs all of them alike.
"""

import json
import secrets
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.fernet import Fernet

from llm_proxy_site.processes import ChildFailedError, running
from llm_proxy_site.terminal import Table

TURNS = 15


@dataclass(frozen=True, slots=True)
class Cost:
    """Milliseconds, the least of TURNS: a busy machine takes more now and then, never less."""

    ms: float
    cpu_ms: float
    """Of the processor, on our side of the database's connection: with SQLite, all of it."""


@dataclass(frozen=True, slots=True)
class Ledger:
    rows: int
    fill_seconds: float
    acts: list[str]
    process: subprocess.Popen[str]


def measure(sizes: Sequence[int], databases: Sequence[str], folder: Path) -> dict[str, list[Cost]]:
    """By act, a cost for each of `sizes`, in requests. `databases` are their URLs, new and empty; those that
    are missing are SQLite's, in `folder`. Raises ChildFailedError.
    """
    urls = [*databases, *(f"sqlite:///{folder}/{rows}.db" for rows in sizes[len(databases) :])]
    with ExitStack() as stack:
        ledgers = [
            stack.enter_context(_filled(rows, url, folder)) for rows, url in zip(sizes, urls, strict=True)
        ]
        return {act: _costs(ledgers, act) for act in ledgers[0].acts}


def text(sizes: Sequence[int], costs: dict[str, list[Cost]]) -> str:
    heads = [f"{rows:,} {what}" for what in ("ms", "CPU ms") for rows in sizes]
    return str(Table(["", *heads, "ms", "CPU"], [_row(act, of_sizes) for act, of_sizes in costs.items()]))


@contextmanager
def _filled(rows: int, url: str, folder: Path) -> Iterator[Ledger]:
    environment = {
        "DATABASE_URL": url,
        "DATA_DIR": str(folder),
        "SECRET_KEY": secrets.token_urlsafe(50),
        "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    }
    arguments = ["-m", "llm_proxy_site.bench.ledger", str(rows)]
    with running(*arguments, environment=environment, stdin=subprocess.PIPE) as (process, line):
        yield Ledger(rows, process=process, **json.loads(line))


def _costs(ledgers: Sequence[Ledger], act: str) -> list[Cost]:
    turns = [[_ask(ledger, act) for ledger in ledgers] for _ in range(TURNS)]
    return [
        Cost(min(cost.ms for cost in of_one), min(cost.cpu_ms for cost in of_one))
        for of_one in zip(*turns, strict=True)
    ]


def _ask(ledger: Ledger, act: str) -> Cost:
    process = ledger.process
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{act}\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise ChildFailedError(f"The one with {ledger.rows} requests broke off at {act}.")
    return Cost(**json.loads(line))


def _row(act: str, costs: Sequence[Cost]) -> list[str]:
    first, last = costs[0], costs[-1]
    return [
        act,
        *(f"{cost.ms:.1f}" for cost in costs),
        *(f"{cost.cpu_ms:.1f}" for cost in costs),
        _ratio(last.ms, first.ms),
        _ratio(last.cpu_ms, first.cpu_ms),
    ]


def _ratio(last: float, first: float) -> str:
    return f"x {last / first:.2f}" if first else "-"
