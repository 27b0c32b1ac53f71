"""A run beside an earlier one. Only ratios of targets within a run are compared: two machines, or two
hours of one, differ more than two versions do. Pure.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from llm_proxy_site.bench.measurement import Cell
from llm_proxy_site.bench.pairs import pairs
from llm_proxy_site.terminal import Table

COMPARED = {
    "Requests/s": "requests_per_second",
    "p50": "p50_ms",
    "p99": "p99_ms",
    "Chunk p99": "chunk_p99_ms",
    "CPU": "cpu_seconds_per_1000",
}
"""Figures by heading."""
NOTE = "Ratios then > now; * where the ranges of the rounds do not overlap."


class _Facts(msgspec.Struct):
    cells: list[Cell]


def read_cells(file: Path) -> list[Cell]:
    """What an earlier run has written. Raises OSError and ValueError."""
    try:
        cells = msgspec.json.decode(file.read_bytes(), type=_Facts).cells
        pairs(cells)
    except msgspec.MsgspecError as problem:
        raise ValueError(f"{file} is no result of this benchmark: {problem}") from None
    except KeyError as missing:
        raise ValueError(f"{file} is not whole: it has no cell of {missing}.") from None
    rounds = {len(cell.rounds) for cell in cells}
    if len(rounds) > 1 or 0 in rounds:
        raise ValueError(f"{file} is not whole: its cells have not all the same rounds.")
    return cells


def text(now: Iterable[Cell], then: Iterable[Cell]) -> str:
    """A line for each pair of targets that both runs have."""
    earlier = {(cell.case, cell.target, base.target): (cell, base) for cell, base in pairs(then)}
    rows = [
        [
            cell.case,
            cell.target,
            base.target,
            *(_change(earlier[key], (cell, base), name) for name in COMPARED.values()),
        ]
        for cell, base in pairs(now)
        if (key := (cell.case, cell.target, base.target)) in earlier
    ]
    if not rows:
        return "The earlier run has none of these cases."
    return f"{Table(['Case', 'Target', 'Against', *COMPARED], rows)}\n{NOTE}"


def _change(then: tuple[Cell, Cell], now: tuple[Cell, Cell], name: str) -> str:
    before, after = _ratios(*then, name), _ratios(*now, name)
    if not before or not after:
        return "-"
    is_apart = min(before) > max(after) or max(before) < min(after)
    return f"{_ratio(*then, name):.2f} > {_ratio(*now, name):.2f}{'*' if is_apart else ''}"


def _ratio(cell: Cell, base: Cell, name: str) -> float:
    """Of the medians."""
    return float(getattr(cell.figures, name) / getattr(base.figures, name))


def _ratios(cell: Cell, base: Cell, name: str) -> Sequence[float]:
    """Round by round; none if the figure is unknown or nothing in one of them."""
    rounds = [
        (getattr(one, name), getattr(other, name))
        for one, other in zip(cell.rounds, base.rounds, strict=True)
    ]
    return [value / base for value, base in rounds] if all(base for _, base in rounds) else []
