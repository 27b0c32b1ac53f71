"""`manage.py bench`: what the proxy costs, against a bare pass-through and upstream itself."""

import json
import secrets
import signal
import tempfile
from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from django.core.management.base import BaseCommand, CommandError

from llm_proxy_site.bench import report
from llm_proxy_site.bench.cases import CASES, Case
from llm_proxy_site.bench.limits import limits_cost_us
from llm_proxy_site.bench.machine import machine_facts
from llm_proxy_site.bench.measurement import Cell
from llm_proxy_site.bench.targets import running_targets
from llm_proxy_site.processes import ChildFailedError, running


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
            choices=list(CASES),
            metavar="CASE",
            help=f"of {', '.join(CASES)}; repeatable",
        )
        parser.add_argument(
            "--ledger",
            type=_count,
            metavar="ROWS",
            help="instead: what the ledger costs with so many requests",
        )
        parser.add_argument(
            "--database",
            metavar="URL",
            help="with --ledger: a new, empty one (default: SQLite, for the time)",
        )
        parser.add_argument("--output", type=Path, help="a JSON file (default: bench-results/<time>.json)")

    def handle(
        self,
        *,
        seconds: float,
        rounds: int,
        only: list[str] | None,
        output: Path | None,
        ledger: int | None,
        database: str | None,
        **options: Any,
    ) -> None:
        if ledger is not None:
            self.stdout.write(json.dumps(_measure_ledger(ledger, database), indent=2))
            return
        if find_spec("psutil") is None:
            raise CommandError(
                "psutil is missing, a development dependency: `make bench`, or `pip install psutil`."
            )
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        began = datetime.now(UTC)
        machine = machine_facts()
        cells = self._measure([CASES[name] for name in only or CASES], rounds, seconds)
        limits_us = limits_cost_us()
        self.stdout.write(f"\n{report.text(cells)}\n")
        self.stdout.write(f"Acquire and settle all limits in memory: {limits_us:.1f} us a request\n")
        facts = report.facts(
            cells,
            began_at=began.isoformat(),
            rounds=rounds,
            seconds_per_cell=seconds,
            machine=machine,
            limits_us=limits_us,
        )
        path = output or Path("bench-results") / f"{began:%Y%m%dT%H%M%SZ}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(facts, indent=2) + "\n")
        self.stdout.write(f"Written to {path}")

    def _measure(self, cases: list[Case], rounds: int, seconds: float) -> list[Cell]:
        from llm_proxy_site.bench.load import LoadFailedError
        from llm_proxy_site.bench.rounds import measure

        def announce(number: int) -> None:
            self.stdout.write(f"Round {number} of {rounds}: {', '.join(case.name for case in cases)}")
            self.stdout.flush()

        try:
            with (
                tempfile.TemporaryDirectory(prefix="llm-proxy-bench-") as folder,
                running_targets(Path(folder)) as targets,
            ):
                return measure(targets, cases, rounds=rounds, seconds=seconds, on_round=announce)
        except ChildFailedError as problem:
            raise CommandError(f"The benchmark could not start. {problem}") from None
        except LoadFailedError as problem:
            raise CommandError(f"The benchmark says nothing: {problem}") from None
        except KeyboardInterrupt:
            raise CommandError("The benchmark was interrupted.") from None


def _measure_ledger(rows: int, database: str | None) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="llm-proxy-bench-") as folder:
        environment = {
            "DATABASE_URL": database or f"sqlite:///{folder}/ledger.db",
            "DATA_DIR": folder,
            "SECRET_KEY": secrets.token_urlsafe(50),
            "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        }
        try:
            with running("-m", "llm_proxy_site.bench.ledger", str(rows), environment=environment) as (
                _,
                line,
            ):
                figures: dict[str, float] = json.loads(line)
        except ChildFailedError as problem:
            raise CommandError(f"The ledger could not be measured. {problem}") from None
    return figures


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
