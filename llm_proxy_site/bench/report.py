"""The measured cells as tables for people and as plain data for JSON. Pure."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from llm_proxy_site.bench.at_once import AtOnce
from llm_proxy_site.bench.cases import CASES
from llm_proxy_site.bench.measurement import Cell, Comparison, Figures, compare
from llm_proxy_site.bench.pairs import pairs
from llm_proxy_site.bench.results import Results
from llm_proxy_site.bench.targets import PASS_THROUGH, PROXY
from llm_proxy_site.terminal import Table

Columns = dict[str, tuple[str, int]]
"""By heading: a field of Figures, and how many decimals of it are shown."""

_LONG, _SHORT = CASES["paced-8"], CASES["paced-8-short"]
MAX_ADDED_MS = 1
MAX_CPU_RATIO = 1.3

_CLOSED: Columns = {
    "Requests/s": ("requests_per_second", 0),
    "p50 ms": ("p50_ms", 2),
    "p99 ms": ("p99_ms", 2),
    "First chunk p50 ms": ("first_chunk_p50_ms", 2),
    "Chunk p50 ms": ("chunk_p50_ms", 2),
    "Chunk p99 ms": ("chunk_p99_ms", 2),
    "CPU s/1000": ("cpu_seconds_per_1000", 2),
    "RSS MB": ("rss_mb", 0),
}
_OPEN: Columns = {
    "Answers/s": ("requests_per_second", 0),
    "p50 ms": ("p50_ms", 2),
    "p90 ms": ("p90_ms", 2),
    "p99 ms": ("p99_ms", 2),
    "p99.9 ms": ("p99_9_ms", 2),
    "Longest ms": ("max_ms", 2),
    "Unanswered %": ("unanswered_percent", 1),
    "CPU s/1000": ("cpu_seconds_per_1000", 2),
}
_RATIOS = [
    *("Case", "Target", "Against", "Requests/s", "(rounds)"),
    *("Added p50", "Added first chunk", "Added chunk p50, p99", "CPU"),
]


def comparisons(cells: Iterable[Cell]) -> list[Comparison]:
    """Case by case: proxy to pass-through, with limits to without, pass-through to upstream."""
    return [compare(cell, base) for cell, base in pairs(cells)]


def text(results: Results) -> str:
    cells = results.cells
    closed = _figures([cell for cell in cells if not CASES[cell.case].rate], _CLOSED)
    scheduled = _figures([cell for cell in cells if CASES[cell.case].rate], _OPEN)
    ratios = _table(_RATIOS, [_ratios_row(comparison) for comparison in comparisons(cells)])
    starts = _table(
        ["Cold start", "s", "(rounds)"], [_start_row(*start) for start in results.cold_starts.items()]
    )
    parts = [closed, scheduled, ratios, _at_once(results), starts, "\n".join(promises(cells))]
    return "\n\n".join(filter(None, parts))


def promises(cells: Sequence[Cell]) -> list[str]:
    """What streaming through the proxy costs beyond the pass-through, and what it may cost at most."""
    by_name = {(cell.case, cell.target): cell for cell in cells}
    lines = []
    if ("paced-1", PROXY) in by_name:
        lines.append(_first_chunk(compare(by_name["paced-1", PROXY], by_name["paced-1", PASS_THROUGH])))
    if {(_LONG.name, PROXY), (_SHORT.name, PROXY)} <= by_name.keys():
        lines.append(_chunk_cpu(_chunk_us(by_name, PROXY), _chunk_us(by_name, PASS_THROUGH)))
    return lines


def _first_chunk(comparison: Comparison) -> str:
    shown = _added(comparison.added_first_chunk_p50_ms)
    return f"First chunk at one connection, over the pass-through: {shown} (at most +{MAX_ADDED_MS} ms)"


def _chunk_us(by_name: dict[tuple[str, str], Cell], target: str) -> float:
    """CPU for a chunk more of a stream: what opening and closing one costs is no part of it."""
    long, short = (by_name[case.name, target].figures.cpu_seconds_per_1000 for case in (_LONG, _SHORT))
    return (long - short) * 1000 / (_LONG.chunks - _SHORT.chunks)


def _chunk_cpu(ours: float, theirs: float) -> str:
    shown = f"x {ours / theirs:.2f}" if theirs > 0 else "-"
    return (
        f"CPU per chunk of a paced stream: {ours:.0f} us, {theirs:.0f} us of the pass-through: {shown} "
        f"(at most x {MAX_CPU_RATIO})"
    )


def facts(results: Results, **about: Any) -> dict[str, Any]:
    """`about` is what there is to say of the whole run."""
    return {
        **about,
        "cells": [
            {
                "case": cell.case,
                "target": cell.target,
                "median": asdict(cell.figures),
                "rounds": [asdict(figures) for figures in cell.rounds],
            }
            for cell in results.cells
        ],
        "comparisons": [asdict(comparison) for comparison in comparisons(results.cells)],
        "cold_starts": dict(results.cold_starts),
        "at_once": {target: [asdict(step) for step in steps] for target, steps in results.at_once.items()},
    }


def _figures(cells: Sequence[Cell], columns: Columns) -> str:
    rows = [[cell.case, cell.target, *_shown(cell.figures, columns)] for cell in cells]
    return _table(["Case", "Target", *columns], rows)


def _table(headings: list[str], rows: list[list[str]]) -> str:
    """Nothing where there are no rows."""
    return str(Table(headings, rows)) if rows else ""


def _shown(figures: Figures, columns: Columns) -> list[str]:
    values = [(getattr(figures, field), decimals) for field, decimals in columns.values()]
    return ["-" if value is None else f"{value:.{decimals}f}" for value, decimals in values]


def _ratios_row(comparison: Comparison) -> list[str]:
    rates = comparison.requests_per_second_ratio_range
    return [
        comparison.case,
        comparison.target,
        comparison.base,
        _times(comparison.requests_per_second_ratio),
        "-" if rates is None else f"({rates[0]:.2f}-{rates[1]:.2f})",
        f"{comparison.added_p50_ms:+.2f} ms ({comparison.added_p50_percent:+.0f} %)",
        _added(comparison.added_first_chunk_p50_ms),
        f"{_added(comparison.added_chunk_p50_ms)}, {_added(comparison.added_chunk_p99_ms)}",
        _times(comparison.cpu_ratio),
    ]


def _start_row(name: str, seconds: Sequence[float]) -> list[str]:
    return [name, f"{statistics.median(seconds):.2f}", f"({min(seconds):.2f}-{max(seconds):.2f})"]


def _at_once(results: Results) -> str:
    """How late 99 % of the chunks were at most, by the number of streams."""
    steps = sorted({step.streams for steps in results.at_once.values() for step in steps})
    rows = [
        [target, *(_late(seen, streams) for streams in steps)] for target, seen in results.at_once.items()
    ]
    return _table(["Chunk p99 ms of streams at once", *map(str, steps)], rows)


def _late(seen: Sequence[AtOnce], streams: int) -> str:
    """A step that was not served is marked, and those after it were not tried."""
    for step in seen:
        if step.streams == streams:
            late = "-" if step.chunk_p99_ms is None else f"{step.chunk_p99_ms:.1f}"
            return late if step.is_served else f"{late} (not served)"
    return "-"


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"x {ratio:.2f}"


def _added(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds:+.2f} ms"
