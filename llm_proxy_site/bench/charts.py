"""The results as one SVG of bars. Pure."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

from llm_proxy_site.bench.cases import CASES
from llm_proxy_site.bench.results import Results

WIDTH = 760
LABELS = 230
"""Pixels to the left of the bars."""
VALUES = 80
"""To the right of the longest bar."""
LINE = 18
COLOURS = ("#9ca3af", "#6b7280", "#0f766e", "#14b8a6", "#b45309", "#7c3aed", "#be123c")
"""Of the targets, in their order."""


@dataclass(frozen=True, slots=True)
class Bar:
    group: str
    """The case; empty where there is only one."""
    target: str
    value: float


def svg(results: Results) -> str:
    """A chart for each kind of figure that was measured; the targets have the same colour in all of them."""
    root = Element(
        "svg", {"xmlns": "http://www.w3.org/2000/svg", "font-family": "sans-serif", "font-size": "12"}
    )
    targets = list(
        dict.fromkeys([*(cell.target for cell in results.cells), *results.at_once, *results.cold_starts])
    )
    colours = {target: COLOURS[number % len(COLOURS)] for number, target in enumerate(targets)}
    y = LINE
    for title, bars in _charts(results):
        if bars:
            y = _draw(root, y, title, bars, colours) + LINE
    root.set("viewBox", f"0 0 {WIDTH} {y}")
    root.set("width", str(WIDTH))
    root.insert(0, Element("rect", width="100%", height="100%", fill="#ffffff"))
    return tostring(root, encoding="unicode") + "\n"


def _charts(results: Results) -> Iterator[tuple[str, Sequence[Bar]]]:
    yield "Requests a second, closed loop", _bars(results, "requests_per_second", is_open=False)
    yield "CPU seconds per 1000 requests, closed loop", _bars(results, "cpu_seconds_per_1000", is_open=False)
    yield "Latency on a schedule, p50, ms", _bars(results, "p50_ms", is_open=True)
    yield "Latency on a schedule, p99, ms", _bars(results, "p99_ms", is_open=True)
    yield "Delay of a chunk, p99, ms", _bars(results, "chunk_p99_ms", is_open=False)
    yield "Memory, the most of all cases, MB", _memory(results)
    yield "Streams at once, served", _served(results)
    yield (
        "Cold start, s",
        [Bar("", name, statistics.median(each)) for name, each in results.cold_starts.items()],
    )


def _bars(results: Results, name: str, *, is_open: bool) -> list[Bar]:
    return [
        Bar(cell.case, cell.target, value)
        for cell in results.cells
        if bool(CASES[cell.case].rate) == is_open and (value := getattr(cell.figures, name)) is not None
    ]


def _memory(results: Results) -> list[Bar]:
    most: dict[str, float] = {}
    for cell in results.cells:
        most[cell.target] = max(most.get(cell.target, 0), cell.figures.rss_mb)
    return [Bar("", target, value) for target, value in most.items()]


def _served(results: Results) -> list[Bar]:
    return [
        Bar("", target, max((step.streams for step in steps if step.is_served), default=0))
        for target, steps in results.at_once.items()
    ]


def _draw(root: Element, y: int, title: str, bars: Sequence[Bar], colours: dict[str, str]) -> int:
    """Below `y`; returns where it ends."""
    _write(root, 0, y, title, {"font-weight": "bold"})
    longest = max(bar.value for bar in bars) or 1
    group = ""
    for bar in bars:
        if bar.group != group:
            group = bar.group
            y += LINE // 3
            _write(root, 0, y + LINE, group)
        y += LINE
        _write(root, LABELS - 8, y, bar.target, {"text-anchor": "end"})
        length = bar.value / longest * (WIDTH - LABELS - VALUES)
        place = {"x": str(LABELS), "y": str(y - LINE + 7), "width": f"{length:.1f}", "height": str(LINE - 4)}
        SubElement(root, "rect", place, fill=colours[bar.target])
        _write(root, LABELS + length + 6, y, f"{bar.value:.{_decimals(bar.value)}f}")
    return y + LINE


def _write(root: Element, x: float, y: int, text: str, style: dict[str, str] | None = None) -> None:
    SubElement(root, "text", style or {}, x=f"{x:.1f}", y=str(y), fill="#111827").text = text


def _decimals(value: float) -> int:
    return 0 if value >= 100 else 1 if value >= 10 else 2
