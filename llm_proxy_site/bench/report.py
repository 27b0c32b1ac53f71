"""The measured cells as tables for people and as plain data for JSON. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from llm_proxy_site.bench.measurement import Cell, Comparison, compare
from llm_proxy_site.bench.targets import LIMITED, PASS_THROUGH, PROXY, UPSTREAM
from llm_proxy_site.commands import table

COMPARED = ((PROXY, PASS_THROUGH), (LIMITED, PROXY), (PASS_THROUGH, UPSTREAM))

MAX_ADDED_MS = 1
MAX_CPU_RATIO = 1.3

_FIGURES = ["Case", "Target", "Requests/s", "p50 ms", "p99 ms", "First chunk p50 ms", "CPU s/1000", "RSS MB"]
_RATIOS = ["Case", "Target", "Against", "Requests/s", "(rounds)", "Added p50", "Added first chunk", "CPU"]


def comparisons(cells: Iterable[Cell]) -> list[Comparison]:
    """Case by case: proxy to pass-through, with limits to without, pass-through to upstream."""
    by_name = {(cell.case, cell.target): cell for cell in cells}
    cases = dict.fromkeys(case for case, _ in by_name)
    return [
        compare(by_name[case, target], by_name[case, base]) for case in cases for target, base in COMPARED
    ]


def text(cells: Sequence[Cell]) -> str:
    figures = table(_FIGURES, [_figures_row(cell) for cell in cells])
    ratios = table(_RATIOS, [_ratios_row(comparison) for comparison in comparisons(cells)])
    return "\n\n".join(filter(None, [figures, ratios, "\n".join(promises(cells))]))


def promises(cells: Sequence[Cell]) -> list[str]:
    """What streaming through the proxy costs beyond the pass-through, and what it may cost at most."""
    by_name = {(cell.case, cell.target): cell for cell in cells}
    lines = []
    for case, sentence in (("stream-1", _first_chunk), ("paced-8", _chunk_cpu)):
        if (case, PROXY) in by_name:
            lines.append(sentence(compare(by_name[case, PROXY], by_name[case, PASS_THROUGH])))
    return lines


def _first_chunk(comparison: Comparison) -> str:
    added = comparison.added_first_chunk_p50_ms
    shown = "-" if added is None else f"{added:+.2f} ms"
    return f"First chunk at one connection, over the pass-through: {shown} (at most +{MAX_ADDED_MS} ms)"


def _chunk_cpu(comparison: Comparison) -> str:
    shown = "-" if comparison.cpu_ratio is None else f"x {comparison.cpu_ratio:.2f}"
    return f"CPU per chunk of a paced stream, of the pass-through's: {shown} (at most x {MAX_CPU_RATIO})"


def facts(cells: Sequence[Cell], **about: Any) -> dict[str, Any]:
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
            for cell in cells
        ],
        "comparisons": [asdict(comparison) for comparison in comparisons(cells)],
    }


def _figures_row(cell: Cell) -> list[str]:
    figures = cell.figures
    return [
        cell.case,
        cell.target,
        f"{figures.requests_per_second:.0f}",
        f"{figures.p50_ms:.2f}",
        f"{figures.p99_ms:.2f}",
        "-" if figures.first_chunk_p50_ms is None else f"{figures.first_chunk_p50_ms:.2f}",
        f"{figures.cpu_seconds_per_1000:.2f}",
        f"{figures.rss_mb:.0f}",
    ]


def _ratios_row(comparison: Comparison) -> list[str]:
    low, high = comparison.requests_per_second_ratio_range
    first_chunk = comparison.added_first_chunk_p50_ms
    return [
        comparison.case,
        comparison.target,
        comparison.base,
        f"x {comparison.requests_per_second_ratio:.2f}",
        f"({low:.2f}-{high:.2f})",
        f"{comparison.added_p50_ms:+.2f} ms ({comparison.added_p50_percent:+.0f} %)",
        "-" if first_chunk is None else f"{first_chunk:+.2f} ms",
        "-" if comparison.cpu_ratio is None else f"x {comparison.cpu_ratio:.2f}",
    ]
