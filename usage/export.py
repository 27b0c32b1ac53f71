"""The ledger as CSV, row by row: memory holds one chunk, however many there are, on every engine."""

import csv
from collections.abc import AsyncIterator, Iterator
from io import StringIO
from typing import Any

from asgiref.sync import sync_to_async
from django.db.models import Q, QuerySet

from audit.spreadsheet import harmless
from usage.models import UsageRecord

CHUNK_ROWS = 2000
COLUMNS = tuple(field.attname for field in UsageRecord._meta.concrete_fields)


async def export(records: QuerySet[UsageRecord]) -> AsyncIterator[bytes]:
    """The newest first. Each chunk is asked for by where the one before ended: some databases' clients would
    read all of a result at once.
    """
    yield _text([COLUMNS])
    rows = records.prefetch_related(None).order_by("-started_at", "-id")
    last: UsageRecord | None = None
    while chunk := await sync_to_async(_chunk)(rows, last):
        yield _text([getattr(record, column) for column in COLUMNS] for record in chunk)
        last = chunk[-1]


def _chunk(rows: QuerySet[UsageRecord], last: UsageRecord | None) -> list[UsageRecord]:
    if last is not None:
        rows = rows.filter(
            Q(started_at__lt=last.started_at) | Q(started_at=last.started_at, id__lt=last.id),
            started_at__lte=last.started_at,  # which an index can use
        )
    return list(rows[:CHUNK_ROWS])


def _text(rows: Any) -> bytes:
    text = StringIO()
    csv.writer(text).writerows(_cells(row) for row in rows)
    return text.getvalue().encode()


def _cells(row: Any) -> Iterator[str]:
    for value in row:
        if value is None:
            yield ""
        elif hasattr(value, "isoformat"):
            yield value.isoformat()
        else:
            yield harmless(value) if isinstance(value, str) else str(value)
