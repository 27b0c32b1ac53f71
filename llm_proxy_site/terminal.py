"""What a person sees of a command: tables, and how far long work has come. A pipe or a file gets plain text.

No text in a cell is markup, and none commands the terminal: names are whatever somebody has chosen. rich is
imported where there is a terminal: that takes 0.1 s, which pipes need not pay.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO, cast

from django.core.management.base import OutputWrapper

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

NO_CONTROLS = {code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}
"""For str.translate."""
STYLES = {
    "active": "green",
    "inactive": "dim",
    "expired": "yellow",
    "idle": "yellow",
    "exhausted": "yellow",
    "revoked": "red",
}
"""Of cells that say a state."""

MOST_FOLDED = 1.6
"""A table that is wider than so many terminals cannot be read: its rows are shown one below the other."""

Advance = Callable[[int], None]
"""Told how much more is done."""


@dataclass(frozen=True, slots=True)
class Table:
    headings: list[str]
    rows: list[list[str]]

    def __str__(self) -> str:
        """In aligned columns."""
        lines = [self.headings, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )


def show(answer: str | Table, output: OutputWrapper) -> None:
    if isinstance(answer, Table) and output.isatty():
        screen = console(cast(TextIO, output._out))
        is_wide = max(map(len, str(answer).splitlines())) > MOST_FOLDED * screen.width
        screen.print(_one_by_one(answer) if is_wide else _drawn(answer))
    else:
        output.write(str(answer))


@contextmanager
def progress(
    error: OutputWrapper, what: str, count: Callable[[], int | None] = lambda: None, *, is_bytes: bool = False
) -> Iterator[Advance]:
    """A bar on standard error while it lasts, where that is a terminal; nothing otherwise. `count` says how
    much there is to do, and is asked only for a bar; None: nobody knows.
    """
    if not error.isatty():
        yield lambda more: None
        return
    from rich import progress as bars

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.DownloadColumn() if is_bytes else bars.MofNCompleteColumn(),
        bars.TimeElapsedColumn(),
    )
    with bars.Progress(*columns, console=console(cast(TextIO, error._out)), transient=True) as shown:
        task = shown.add_task(what, total=count())
        yield lambda more: shown.advance(task, more)


def console(stream: TextIO) -> "Console":
    from rich.console import Console

    return Console(file=stream, highlight=False)


def _drawn(table: Table) -> "RichTable":
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    for position, heading in enumerate(table.headings):
        # What is copied from the first column, an id or a name, stays in one piece.
        drawn.add_column(Text(heading), overflow="fold", no_wrap=position == 0)
    for row in table.rows:
        drawn.add_row(*map(_cell, row))
    return drawn


def _one_by_one(table: Table) -> "RichTable":
    """A line for each cell, with its heading; an empty one after each row."""
    from rich.table import Table as RichTable

    drawn = RichTable.grid(padding=(0, 2), pad_edge=False)
    drawn.add_column(style="bold")
    drawn.add_column(overflow="fold")
    for row in table.rows:
        for heading, cell in zip(table.headings, row, strict=True):
            drawn.add_row(heading, _cell(cell))
        drawn.add_row()
    return drawn


def _cell(text: str) -> "Text":
    from rich.text import Text

    return Text(text.translate(NO_CONTROLS), style=STYLES.get(text, ""))
