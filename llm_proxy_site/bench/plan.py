"""What a run is to measure."""

from collections.abc import Sequence
from dataclasses import dataclass

from llm_proxy_site.bench.cases import CASES, Case

COLD_START = "cold-start"
STREAMS_AT_ONCE = "streams-at-once"
NAMES = (*CASES, STREAMS_AT_ONCE, COLD_START)
"""Of all that can be measured."""


@dataclass(frozen=True, slots=True)
class Plan:
    cases: Sequence[Case]
    rounds: int
    seconds: float
    has_cold_start: bool
    streams: Sequence[int]
    """How many at once are tried, from few to many."""
    servers: Sequence[str]
    """Under which ours run, to be compared with the first."""
    peers: Sequence[str]
    """Names of those that are installed."""


def plan(
    names: Sequence[str],
    rounds: int,
    seconds: float,
    streams: Sequence[int],
    servers: Sequence[str],
    peers: Sequence[str],
) -> Plan:
    """Of some of NAMES."""
    return Plan(
        [CASES[name] for name in names if name in CASES],
        rounds,
        seconds,
        has_cold_start=COLD_START in names,
        streams=sorted(streams) if STREAMS_AT_ONCE in names else (),
        servers=servers,
        peers=peers,
    )
