"""Figures, their medians over rounds, and how two targets compare. Pure."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """The instants of one request, in seconds of one clock. In an open loop it begins when it is due."""

    began: float
    first_chunk: float
    ended: float
    """When it was complete, or when it was given up."""
    is_complete: bool = True
    chunk_delays: tuple[float, ...] = ()
    """Of a paced stream, from upstream's sending to our receiving, in seconds."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the load's side sees of a target in a case. First chunks are those of streams."""

    requests_per_second: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p99_9_ms: float
    max_ms: float
    first_chunk_p50_ms: float | None
    chunk_p50_ms: float | None
    chunk_p99_ms: float | None
    """How long the chunks of paced streams were on their way."""
    unanswered_percent: float
    """Not answered in time. Each counts above with the time for which it was waited."""


@dataclass(frozen=True, slots=True)
class Observation:
    seen: Seen
    sent: int
    """All requests, those of the warm-up included."""


@dataclass(frozen=True, slots=True)
class Figures(Seen):
    """One target in one case. The CPU and the memory are those of the target's process."""

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
    requests_per_second_ratio: float | None
    requests_per_second_ratio_range: tuple[float, float] | None
    """None: on its schedule the base had answered nothing, in all or in a round, when the time was over."""
    added_p50_ms: float
    added_p50_percent: float
    added_first_chunk_p50_ms: float | None
    added_chunk_p50_ms: float | None
    added_chunk_p99_ms: float | None
    cpu_ratio: float | None
    """None: the run was too short for the base to use any that the system counts."""


def observe_closed(answers: Sequence[Answer], began: float, ended: float, *, is_stream: bool) -> Observation:
    """What these answers say of the time between two instants; only what was complete within it counts.

    Raises ValueError if that is nothing.
    """
    measured = [answer for answer in answers if began <= answer.ended <= ended]
    return Observation(_seen(measured, len(measured) / (ended - began), is_stream=is_stream), len(answers))


def observe_open(answers: Sequence[Answer], began: float, ended: float, *, is_stream: bool) -> Observation:
    """What these requests say of the time between two instants: all that were due in it count, whenever they
    were answered, and if they were not. The rate is that of the answers that were complete within it.

    Raises ValueError if nothing was due.
    """
    measured = [answer for answer in answers if began <= answer.began < ended]
    complete = sum(answer.is_complete and began <= answer.ended <= ended for answer in answers)
    return Observation(_seen(measured, complete / (ended - began), is_stream=is_stream), len(answers))


def _seen(measured: Sequence[Answer], rate: float, *, is_stream: bool) -> Seen:
    latencies = [answer.ended - answer.began for answer in measured]
    first_chunks = [answer.first_chunk - answer.began for answer in measured]
    chunks = [delay for answer in measured for delay in answer.chunk_delays]
    p50, p90, p99, p99_9, longest = (percentile(latencies, rank) * 1000 for rank in (50, 90, 99, 99.9, 100))
    return Seen(
        requests_per_second=rate,
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        p99_9_ms=p99_9,
        max_ms=longest,
        first_chunk_p50_ms=percentile(first_chunks, 50) * 1000 if is_stream else None,
        chunk_p50_ms=percentile(chunks, 50) * 1000 if chunks else None,
        chunk_p99_ms=percentile(chunks, 99) * 1000 if chunks else None,
        unanswered_percent=sum(not answer.is_complete for answer in measured) / len(measured) * 100,
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """By nearest rank: always one of the values."""
    if not values:
        raise ValueError("nothing was measured")
    rank = math.ceil(len(values) * percent / 100)
    return sorted(values)[max(rank, 1) - 1]


def median(rounds: Sequence[Figures]) -> Figures:
    """Figure by figure."""
    values: dict[str, Any] = {
        field.name: _median([getattr(figures, field.name) for figures in rounds]) for field in fields(Figures)
    }
    return Figures(**values)


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def compare(cell: Cell, base: Cell) -> Comparison:
    ours, theirs = cell.figures, base.figures
    ratios = [
        _quotient(one.requests_per_second, other.requests_per_second)
        for one, other in zip(cell.rounds, base.rounds, strict=True)
    ]
    known = [ratio for ratio in ratios if ratio is not None]
    return Comparison(
        case=cell.case,
        target=cell.target,
        base=base.target,
        requests_per_second_ratio=_quotient(ours.requests_per_second, theirs.requests_per_second),
        requests_per_second_ratio_range=(min(known), max(known)) if len(known) == len(ratios) else None,
        added_p50_ms=ours.p50_ms - theirs.p50_ms,
        added_p50_percent=(ours.p50_ms / theirs.p50_ms - 1) * 100,
        added_first_chunk_p50_ms=_difference(ours.first_chunk_p50_ms, theirs.first_chunk_p50_ms),
        added_chunk_p50_ms=_difference(ours.chunk_p50_ms, theirs.chunk_p50_ms),
        added_chunk_p99_ms=_difference(ours.chunk_p99_ms, theirs.chunk_p99_ms),
        cpu_ratio=_quotient(ours.cpu_seconds_per_1000, theirs.cpu_seconds_per_1000),
    )


def _quotient(value: float, base: float) -> float | None:
    return value / base if base else None


def _difference(value: float | None, base: float | None) -> float | None:
    return None if value is None or base is None else value - base
