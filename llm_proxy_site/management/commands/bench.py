"""`manage.py bench`: what the proxy costs, against a bare pass-through and upstream itself."""

import json
import tempfile
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from llm_proxy_site.bench import against as against_earlier
from llm_proxy_site.bench import files, ledger_sizes, report
from llm_proxy_site.bench.asking import LoadFailedError
from llm_proxy_site.bench.at_once import STREAMS
from llm_proxy_site.bench.charts import svg
from llm_proxy_site.bench.limits import limits_cost_us
from llm_proxy_site.bench.machine import machine_facts
from llm_proxy_site.bench.measurement import Cell
from llm_proxy_site.bench.peers import PEERS, installed
from llm_proxy_site.bench.plan import NAMES, STREAMS_AT_ONCE, Plan, plan
from llm_proxy_site.bench.results import Results
from llm_proxy_site.bench.table import csv_text
from llm_proxy_site.processes import ChildFailedError, end_as_by_ctrl_c
from llm_proxy_site.server.choice import DAPHNE, SERVERS


class Command(BaseCommand):
    help = "Compare the proxy, a bare pass-through and a fake upstream under the same load."
    # The proxy runs in an environment of its own, and checks itself.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--seconds", type=_positive, default=4.0, help="for each case on each target (default: 4)"
        )
        parser.add_argument("--rounds", type=_count, default=3, help="whose median is taken (default: 3)")
        parser.add_argument(
            "--only",
            action="append",
            choices=NAMES,
            metavar="CASE",
            help=f"of {', '.join(NAMES)}; repeatable",
        )
        parser.add_argument(
            "--streams",
            action="append",
            type=_count,
            metavar="N",
            help=f"at once, for {STREAMS_AT_ONCE}; repeatable (default: {', '.join(map(str, STREAMS))})",
        )
        parser.add_argument(
            "--server",
            action="append",
            choices=SERVERS,
            help=f"under which ours run, to be compared with the first; repeatable (default: {DAPHNE})",
        )
        parser.add_argument(
            "--peer",
            action="append",
            choices=list(PEERS),
            default=[],
            help="beside ours, if it is installed; repeatable",
        )
        parser.add_argument(
            "--ledger",
            action="append",
            type=_count,
            metavar="ROWS",
            help="instead: what the ledger costs with so many requests; repeatable, to compare",
        )
        parser.add_argument(
            "--database",
            action="append",
            default=[],
            metavar="URL",
            help="of a --ledger, in their order: a new, empty one (default: SQLite, for the time)",
        )
        parser.add_argument(
            "--against", type=Path, metavar="FILE", help="the JSON of an earlier run, to compare the ratios"
        )
        parser.add_argument(
            "--output",
            type=_json_file,
            help="a JSON file, with .csv and .svg beside it (default: bench-results/<time>.json)",
        )

    def handle(
        self,
        *,
        seconds: float,
        rounds: int,
        only: list[str] | None,
        streams: list[int] | None,
        server: list[str] | None,
        peer: list[str],
        against: Path | None,
        output: Path | None,
        ledger: list[int] | None,
        database: list[str],
        **options: Any,
    ) -> None:
        end_as_by_ctrl_c()
        if ledger is not None:
            costs = _measure_ledgers(ledger, database)
            self.stdout.write(ledger_sizes.text(ledger, costs))
            return
        if find_spec("psutil") is None:
            raise CommandError(
                "psutil is missing, a development dependency: `make bench`, or `pip install psutil`."
            )
        earlier = None if against is None else _read(against)
        began = datetime.now(UTC)
        path = output or Path("bench-results") / f"{began:%Y%m%dT%H%M%SZ}.json"
        with _told_unless_written(path):
            files.prepare(path)
        machine = machine_facts()
        peers = self._installed(peer)
        servers = list(dict.fromkeys(server or [DAPHNE]))
        what = plan(only or NAMES, rounds, seconds, streams or STREAMS, servers, list(peers))
        results = self._measure(what)
        limits_us = limits_cost_us()
        self.stdout.write(f"\n{report.text(results)}\n")
        self.stdout.write(f"Acquire and settle all limits in memory: {limits_us:.1f} us a request\n")
        facts = report.facts(
            results,
            began_at=began.isoformat(),
            rounds=rounds,
            seconds_per_cell=seconds,
            machine=machine,
            peers=peers,
            limits_us=limits_us,
        )
        if earlier is not None:
            self.stdout.write(f"\n{against_earlier.text(results.cells, earlier)}\n")
        beside = {".csv": csv_text(results), ".svg": svg(results)}
        with _told_unless_written(path):
            files.write(path, json.dumps(facts, indent=2) + "\n", beside)
        self.stdout.write(f"Written to {path}, and beside it as .csv and .svg")

    def _installed(self, names: list[str]) -> dict[str, str]:
        versions = installed(names)
        for name in names:
            if name not in versions:
                self.stdout.write(f"Without {name}, which is not installed: {PEERS[name].how_to_install}.")
        return versions

    def _measure(self, plan: Plan) -> Results:
        from llm_proxy_site.bench.run import run

        def say(line: str) -> None:
            self.stdout.write(line)
            self.stdout.flush()

        try:
            return run(plan, say)
        except ChildFailedError as problem:
            raise CommandError(f"The benchmark could not start. {problem}") from None
        except LoadFailedError as problem:
            raise CommandError(f"The benchmark says nothing: {problem}") from None
        except KeyboardInterrupt:
            raise CommandError("The benchmark was interrupted.") from None


def _read(against: Path) -> list[Cell]:
    try:
        return against_earlier.read_cells(against)
    except (OSError, ValueError) as problem:
        raise CommandError(f"Nothing can be compared: {problem}") from None


@contextmanager
def _told_unless_written(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        place = problem.filename or path
        raise CommandError(f"{place} cannot be written: {problem.strerror}.") from None


def _measure_ledgers(sizes: list[int], databases: list[str]) -> dict[str, list[ledger_sizes.Cost]]:
    if len(databases) > len(sizes):
        raise CommandError("Each --database is that of a --ledger.")
    try:
        with tempfile.TemporaryDirectory(prefix="llm-proxy-bench-") as folder:
            return ledger_sizes.measure(sizes, databases, Path(folder))
    except ChildFailedError as problem:
        raise CommandError(f"The ledger could not be measured. {problem}") from None
    except KeyboardInterrupt:
        raise CommandError("The benchmark was interrupted.") from None


def _json_file(text: str) -> Path:
    if Path(text).suffix in files.SUFFIXES:
        raise ArgumentTypeError("is the JSON file; what ends in .csv and .svg is written beside it")
    return Path(text)


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ArgumentTypeError("must be a number above 0")
    return number


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError("must be a whole number above 0")
    return int(text)
