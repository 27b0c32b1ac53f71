"""Figures, their medians over rounds, and how two targets compare. Pure."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """The instants of one complete answer, in seconds of one clock."""

    began: float
    first_chunk: float
    ended: float


@dataclass(frozen=True, slots=True)
class Observation:
    """What the load's side saw. First chunks are those of streams."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    first_chunk_p50_ms: float | None
    sent: int
    """All requests, those of the warm-up included."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One target in one case. The CPU and the memory are those of the target's process."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    first_chunk_p50_ms: float | None
    cpu_seconds_per_1000: float
    rss_mb: float


@dataclass(frozen=True, slots=True)
class Cell:
    case: str
    target: str
    rounds: tuple[Figures, ...]

    @property
    def figures(self) -> Figures:
        return median(self.rounds)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A target against its base, by the medians; the range is that of the single rounds."""

    case: str
    target: str
    base: str
    requests_per_second_ratio: float
    requests_per_second_ratio_range: tuple[float, float]
    added_p50_ms: float
    added_p50_percent: float
    added_first_chunk_p50_ms: float | None
    cpu_ratio: float | None
    """None: the run was too short for the base to use any that the system counts."""


def observe(answers: Sequence[Answer], began: float, ended: float, *, is_stream: bool) -> Observation:
    """What these answers say of the time between two instants; only what was complete within it counts.

    Raises ValueError if that is nothing.
    """
    measured = [answer for answer in answers if began <= answer.ended <= ended]
    latencies = [answer.ended - answer.began for answer in measured]
    first_chunks = [answer.first_chunk - answer.began for answer in measured]
    return Observation(
        requests_per_second=len(measured) / (ended - began),
        p50_ms=percentile(latencies, 50) * 1000,
        p99_ms=percentile(latencies, 99) * 1000,
        first_chunk_p50_ms=percentile(first_chunks, 50) * 1000 if is_stream else None,
        sent=len(answers),
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """By nearest rank: always one of the values."""
    if not values:
        raise ValueError("nothing was measured")
    rank = math.ceil(len(values) * percent / 100)
    return sorted(values)[max(rank, 1) - 1]


def median(rounds: Sequence[Figures]) -> Figures:
    """Figure by figure."""
    first_chunks = [
        figures.first_chunk_p50_ms for figures in rounds if figures.first_chunk_p50_ms is not None
    ]
    return Figures(
        requests_per_second=statistics.median(figures.requests_per_second for figures in rounds),
        p50_ms=statistics.median(figures.p50_ms for figures in rounds),
        p99_ms=statistics.median(figures.p99_ms for figures in rounds),
        first_chunk_p50_ms=statistics.median(first_chunks) if first_chunks else None,
        cpu_seconds_per_1000=statistics.median(figures.cpu_seconds_per_1000 for figures in rounds),
        rss_mb=statistics.median(figures.rss_mb for figures in rounds),
    )


def compare(cell: Cell, base: Cell) -> Comparison:
    ours, theirs = cell.figures, base.figures
    ratios = [
        one.requests_per_second / other.requests_per_second
        for one, other in zip(cell.rounds, base.rounds, strict=True)
    ]
    return Comparison(
        case=cell.case,
        target=cell.target,
        base=base.target,
        requests_per_second_ratio=ours.requests_per_second / theirs.requests_per_second,
        requests_per_second_ratio_range=(min(ratios), max(ratios)),
        added_p50_ms=ours.p50_ms - theirs.p50_ms,
        added_p50_percent=(ours.p50_ms / theirs.p50_ms - 1) * 100,
        added_first_chunk_p50_ms=_difference(ours.first_chunk_p50_ms, theirs.first_chunk_p50_ms),
        cpu_ratio=_quotient(ours.cpu_seconds_per_1000, theirs.cpu_seconds_per_1000),
    )


def _quotient(value: float, base: float) -> float | None:
    return value / base if base else None


def _difference(value: float | None, base: float | None) -> float | None:
    return None if value is None or base is None else value - base
