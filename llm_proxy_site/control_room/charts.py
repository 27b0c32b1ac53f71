"""Charts as the server draws them: numbers in, the geometry of an SVG out. Pure; `chart.html` writes it.

A drawing is stretched to the width of its place, so its texts stand beside it. One column is COLUMN wide, the
whole HEIGHT high.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

COLUMN = 100
GAP = 12
HEIGHT = 1000


@dataclass(frozen=True)
class Series:
    name: str
    look: str
    """A class of the style sheet: `chart-good`, `chart-bad`, `chart-first`, `chart-second`, `chart-third`."""
    values: Sequence[float | None]
    """One for each label; None: there is none."""


@dataclass(frozen=True)
class Part:
    """Of a column."""

    look: str
    y: int
    height: int


@dataclass(frozen=True)
class Column:
    x: int
    title: str
    parts: list[Part]


@dataclass(frozen=True)
class Line:
    look: str
    path: str


@dataclass(frozen=True)
class Chart:
    title: str
    labels: Sequence[str]
    """Of the points, in order."""
    series: Sequence[Series]
    write: Callable[[float], str]
    is_stacked: bool = True
    """Columns of what adds up; else lines."""
    column_width: int = COLUMN - GAP
    height: int = HEIGHT

    @property
    def width(self) -> int:
        return COLUMN * len(self.labels)

    @cached_property
    def top(self) -> float:
        """The number at the upper edge: 1, 2 or 5 and noughts."""
        rows = list(zip(*(series.values for series in self.series), strict=True))
        combine = sum if self.is_stacked else max
        highest = max((combine(value or 0.0 for value in row) for row in rows), default=0.0)
        if highest <= 0:
            return 1.0
        power = 10.0 ** math.floor(math.log10(highest))
        return float(next(step * power for step in (1, 2, 5, 10) if step * power >= highest * 0.9999))

    @property
    def ticks(self) -> list[str]:
        """From the top down."""
        return [self.write(self.top), self.write(self.top / 2), self.write(0)]

    @property
    def edges(self) -> list[str]:
        """The labels below: the first, one in the middle, the last."""
        labels = self.labels
        return [labels[0], labels[len(labels) // 2], labels[-1]] if len(labels) > 2 else list(labels)

    @property
    def columns(self) -> list[Column]:
        """Those of lines have no parts: they are there to be pointed at."""
        return [
            Column(number * COLUMN + GAP // 2, f"{label}: {self._told(number)}", self._parts(number))
            for number, label in enumerate(self.labels)
        ]

    @property
    def lines(self) -> list[Line]:
        if self.is_stacked:
            return []
        return [Line(series.look, self._path(series.values)) for series in self.series]

    @property
    def rows(self) -> list[tuple[str, list[str]]]:
        """The same as a table."""
        return [
            (label, [self._text(series.values[number]) for series in self.series])
            for number, label in enumerate(self.labels)
        ]

    @property
    def description(self) -> str:
        names = " and ".join(series.name for series in self.series)
        return f"{names}, from {self.labels[0]} to {self.labels[-1]}, at most {self.write(self.top)}."

    def _told(self, number: int) -> str:
        return ", ".join(f"{self._text(series.values[number])} {series.name}" for series in self.series)

    def _text(self, value: float | None) -> str:
        return "-" if value is None else self.write(value)

    def _parts(self, number: int) -> list[Part]:
        if not self.is_stacked:
            return []
        parts, below = [], 0.0
        for series in self.series:
            value = series.values[number] or 0.0
            upper, lower = self._y(below + value), self._y(below)
            if value > 0:
                parts.append(Part(series.look, upper, max(lower - upper, 4)))
            below += value
        return parts

    def _path(self, values: Sequence[float | None]) -> str:
        """One that is interrupted where there is no value; a lone point is a dash, as wide as a column."""
        steps = []
        for number, value in enumerate(values):
            if value is None:
                continue
            y, x = self._y(value), number * COLUMN + COLUMN // 2
            is_first = not number or values[number - 1] is None
            is_last = number + 1 == len(values) or values[number + 1] is None
            if is_first and is_last:
                steps.append(f"M{number * COLUMN + GAP // 2} {y}h{COLUMN - GAP}")
            else:
                steps.append(f"{'M' if is_first else 'L'}{x} {y}")
        return "".join(steps)

    def _y(self, value: float) -> int:
        return round(HEIGHT - HEIGHT * value / self.top)
