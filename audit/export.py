"""The trail as a file, sent while it is read: any number of events, in bounded memory."""

import csv
import io
import json
from collections.abc import AsyncIterator, Callable, Iterator

from django.db.models import QuerySet
from django.http import StreamingHttpResponse

from audit.line import FIELDS, facts
from audit.models import AuditEvent
from audit.spreadsheet import harmless

READ_AT_ONCE = 500


def exported(events: QuerySet[AuditEvent], kind: str) -> StreamingHttpResponse:
    """As `csv`, with a head, or as `jsonl`."""
    response = StreamingHttpResponse(_lines(events, kind), content_type=KINDS[kind][1])
    response["Content-Disposition"] = f'attachment; filename="audit.{kind}"'
    response["Cache-Control"] = "no-store"
    return response


def lines(events: QuerySet[AuditEvent], kind: str) -> Iterator[str]:
    """The same, one after the other."""
    yield _head(kind)
    yield from map(KINDS[kind][0], events.iterator(chunk_size=READ_AT_ONCE))


async def _lines(events: QuerySet[AuditEvent], kind: str) -> AsyncIterator[str]:
    yield _head(kind)
    async for event in events.aiterator(chunk_size=READ_AT_ONCE):
        yield KINDS[kind][0](event)


def _head(kind: str) -> str:
    return _csv(FIELDS) if kind == "csv" else ""


def _json_line(event: AuditEvent) -> str:
    return json.dumps(facts(event)) + "\n"


def _csv_line(event: AuditEvent) -> str:
    values = facts(event) | {"details": json.dumps(event.details)}
    return _csv(["" if values[field] is None else harmless(str(values[field])) for field in FIELDS])


def _csv(cells: list[str] | tuple[str, ...]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()


KINDS: dict[str, tuple[Callable[[AuditEvent], str], str]] = {
    "csv": (_csv_line, "text/csv; charset=utf-8"),
    "jsonl": (_json_line, "application/jsonl"),
}
