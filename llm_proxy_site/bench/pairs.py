"""Which target is compared to which. Pure."""

from collections.abc import Iterable

from llm_proxy_site.bench.measurement import Cell
from llm_proxy_site.bench.targets import LIMITED, MARK, PASS_THROUGH, PROXY, UPSTREAM

BASES = {PROXY: PASS_THROUGH, LIMITED: PROXY, PASS_THROUGH: UPSTREAM}
"""Of our own targets; a peer's is the pass-through."""


def pairs(cells: Iterable[Cell]) -> list[tuple[Cell, Cell]]:
    """Case by case: each cell but upstream's, and its base."""
    by_name = {(cell.case, cell.target): cell for cell in cells}
    return [
        (cell, by_name[cell.case, base])
        for cell in _ours_first(by_name.values())
        for base in _bases(cell.target)
    ]


def _bases(target: str) -> list[str]:
    """What is under another server than the first is compared with its like there, and under the first."""
    name, mark, server = target.partition(MARK)
    if name == UPSTREAM:
        return []
    base = BASES.get(name, PASS_THROUGH)
    if not mark:
        return [base]
    return [base if base == UPSTREAM else base + mark + server, name]


def _ours_first(cells: Iterable[Cell]) -> list[Cell]:
    """The proxy first of all, within the order of the cases."""
    cells = list(cells)
    cases = list(dict.fromkeys(cell.case for cell in cells))
    order = list(dict.fromkeys([*BASES, *(cell.target for cell in cells if MARK in cell.target)]))
    return sorted(
        cells,
        key=lambda cell: (
            cases.index(cell.case),
            order.index(cell.target) if cell.target in order else len(order),
        ),
    )
