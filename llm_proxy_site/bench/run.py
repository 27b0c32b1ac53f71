"""One run of the benchmark: everything started, measured in turns, and stopped."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from llm_proxy_site.bench.at_once import AtOnce, streams_at_once
from llm_proxy_site.bench.cold_start import cold_starts
from llm_proxy_site.bench.measurement import Cell
from llm_proxy_site.bench.peers import PEERS
from llm_proxy_site.bench.plan import Plan
from llm_proxy_site.bench.results import Results
from llm_proxy_site.bench.room import raise_file_limit
from llm_proxy_site.bench.rounds import measure
from llm_proxy_site.bench.targets import LIMITED, Target, our_servers, running_upstream, started


def run(plan: Plan, say: Callable[[str], None]) -> Results:
    """`say` is told what is done next. Raises ChildFailedError and LoadFailedError."""
    raise_file_limit()
    with tempfile.TemporaryDirectory(prefix="llm-proxy-bench-") as folder, running_upstream() as upstream:
        servers = [
            *our_servers(upstream, Path(folder), plan.servers),
            *(PEERS[name].server(upstream, Path(folder)) for name in plan.peers),
        ]
        starts = {}
        if plan.has_cold_start:
            say("Cold starts")
            starts = cold_starts(servers, rounds=plan.rounds)
        with started(servers) as ours:
            targets = [upstream, *ours]
            return Results(_cells(targets, plan, say), starts, _at_once(targets, plan, say))


def _cells(targets: Sequence[Target], plan: Plan, say: Callable[[str], None]) -> list[Cell]:
    if not plan.cases:
        return []
    names = ", ".join(case.name for case in plan.cases)

    def announce(number: int) -> None:
        say(f"Round {number} of {plan.rounds}: {names}")

    return measure(targets, plan.cases, rounds=plan.rounds, seconds=plan.seconds, on_round=announce)


def _at_once(
    targets: Sequence[Target], plan: Plan, say: Callable[[str], None]
) -> dict[str, tuple[AtOnce, ...]]:
    if not plan.streams:
        return {}
    say("Streams at once")
    return {
        target.name: streams_at_once(target, plan.streams, plan.seconds)
        for target in targets
        if not target.name.startswith(LIMITED)  # the same server once more
    }
