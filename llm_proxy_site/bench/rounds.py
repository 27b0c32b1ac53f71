"""Rounds of every case on every target in turn, so that the noise of a shared machine hits all alike."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict

import msgspec
import psutil

from llm_proxy_site.bench.asking import LoadFailedError
from llm_proxy_site.bench.cases import Case
from llm_proxy_site.bench.measurement import Cell, Figures, Observation
from llm_proxy_site.bench.targets import Target, rotated
from llm_proxy_site.processes import ChildFailedError, output_of

MAX_SETTLE_SECONDS = 1.0
"""After the load: what a target puts off, as the proxy does its ledger, is done then, and counted."""


def measure(
    targets: Sequence[Target],
    cases: Sequence[Case],
    *,
    rounds: int,
    seconds: float,
    on_round: Callable[[int], None] = lambda number: None,
) -> list[Cell]:
    """A cell for each case and target. `on_round` is told which round (from 1) begins.

    Raises LoadFailedError.
    """
    figures: dict[tuple[str, str], list[Figures]] = {
        (case.name, target.name): [] for case in cases for target in targets
    }
    for number in range(rounds):
        on_round(number + 1)
        for case in cases:
            for target in rotated(targets, number):
                figures[case.name, target.name].append(_measure_one(target, case, seconds))
    return [Cell(case, target, tuple(measured)) for (case, target), measured in figures.items()]


def _measure_one(target: Target, case: Case, seconds: float) -> Figures:
    process = psutil.Process(target.pid)
    cpu_before = _cpu_seconds(process)
    observation = _run_load(target, case, seconds)
    time.sleep(min(MAX_SETTLE_SECONDS, seconds / 2))
    return Figures(
        **asdict(observation.seen),
        cpu_seconds_per_1000=(_cpu_seconds(process) - cpu_before) / observation.sent * 1000,
        rss_mb=process.memory_info().rss / 2**20,
    )


def _run_load(target: Target, case: Case, seconds: float) -> Observation:
    """From a process of its own, so that nothing here slows it down."""
    module = ("-m", "llm_proxy_site.bench.load", target.base_url)
    try:
        printed = output_of(
            *module, "--case", case.name, "--seconds", str(seconds), stdin=json.dumps(target.headers)
        )
    except ChildFailedError as problem:
        raise LoadFailedError(f"{case.name} on {target.name} failed. {problem}") from None
    return msgspec.json.decode(printed, type=Observation)


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system
