"""Everything measured as CSV: a line for each figure, as spreadsheets and data frames like it best. Pure."""

import csv
import io
from collections.abc import Iterator
from dataclasses import fields

from llm_proxy_site.bench.measurement import Figures
from llm_proxy_site.bench.plan import COLD_START, STREAMS_AT_ONCE
from llm_proxy_site.bench.results import Results

HEADINGS = ("case", "target", "round", "figure", "value")

Row = tuple[str, str, int, str, float]


def csv_text(results: Results) -> str:
    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\n")
    writer.writerow(HEADINGS)
    writer.writerows(_rows(results))
    return output.getvalue()


def _rows(results: Results) -> Iterator[Row]:
    """What is unknown has no line. Streams at once have a round for each number of them."""
    for cell in results.cells:
        for number, figures in enumerate(cell.rounds, 1):
            for field in fields(Figures):
                if (value := getattr(figures, field.name)) is not None:
                    yield cell.case, cell.target, number, field.name, value
    for target, starts in results.cold_starts.items():
        for number, seconds in enumerate(starts, 1):
            yield COLD_START, target, number, "seconds", seconds
    for target, steps in results.at_once.items():
        for number, step in enumerate(steps, 1):
            yield STREAMS_AT_ONCE, target, number, "streams", step.streams
            yield STREAMS_AT_ONCE, target, number, "is_served", int(step.is_served)
            if step.chunk_p99_ms is not None:
                yield STREAMS_AT_ONCE, target, number, "chunk_p99_ms", step.chunk_p99_ms
