"""All that a run has measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from llm_proxy_site.bench.at_once import AtOnce
from llm_proxy_site.bench.measurement import Cell


@dataclass(frozen=True, slots=True)
class Results:
    cells: Sequence[Cell] = ()
    cold_starts: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Seconds of each round, by server."""
    at_once: Mapping[str, Sequence[AtOnce]] = field(default_factory=dict)
    """Each number of streams that was tried, by target."""
