"""The ledger's writer: records are handed over in memory and written in batches by one thread.

The event loop never waits for the database. While the database is away, records wait here, up to a bound.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID

import msgspec
import structlog
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Case, CharField, DateTimeField, F, Field, ForeignKey, UUIDField, Value, When

from tokens.models import AccessToken
from usage.entry import UsageEntry
from usage.models import UsageRecord

BATCH_ROWS = 500
ROWS_PER_STATEMENT = 100
RETRY_SECONDS = 1.0
STOP_SECONDS = 30.0
"""Longer than SQLite waits for a lock."""

log = structlog.get_logger("usage")


class Ledger:
    def __init__(
        self,
        *,
        batch_seconds: float,
        max_pending: int,
        on_written: Callable[[dict[UUID, int]], None] = lambda counts: None,
    ) -> None:
        """`on_written` is called, from any thread, with the admitted requests by token that are written, or
        given up.
        """
        self._batch_seconds = batch_seconds
        self._max_pending = max_pending
        self._on_written = on_written
        self._pending: deque[UsageEntry] = deque()
        self._lost = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def record(self, entry: UsageEntry) -> None:
        """Hand over a finished request. Never blocks."""
        if len(self._pending) >= self._max_pending:
            self._lost += 1
            self._on_written(_admitted([entry]))
            return
        self._pending.append(entry)

    def stop(self, timeout_seconds: float = STOP_SECONDS) -> int:
        """Write what is pending and end the thread. The number of records that could not be written."""
        self._stopping.set()
        self._thread.join(timeout=timeout_seconds)
        return len(self._pending)

    def _run(self) -> None:
        try:
            while not self._stopping.wait(self._batch_seconds):
                self._write_pending()
            self._write_pending()
        finally:
            connection.close()

    def _write_pending(self) -> None:
        self._report_lost()
        while self._pending:
            batch = [self._pending[i] for i in range(min(BATCH_ROWS, len(self._pending)))]
            try:
                counts = write_batch(batch)
            except (OperationalError, InterfaceError) as problem:
                log.error(
                    "usage cannot be written, will retry", pending=len(self._pending), error=str(problem)
                )
                connection.close()
                if self._stopping.wait(RETRY_SECONDS):
                    return
            except Exception:  # whatever a row makes of the driver: the ledger must go on
                log.exception("a batch of usage was refused, writing its rows one by one")
                self._write_singly(len(batch))
            else:
                self._written(len(batch), counts)

    def _write_singly(self, rows: int) -> None:
        """One bad row must not hold up the others; it stays in the log. Ends early without a database."""
        for _ in range(rows):
            entry = self._pending[0]
            try:
                counts = write_batch([entry])
            except (OperationalError, InterfaceError):
                return
            except Exception:
                log.exception("a usage record was refused", entry=entry)
                counts = _admitted([entry])
            self._written(1, counts)

    def _written(self, rows: int, counts: dict[UUID, int]) -> None:
        for _ in range(rows):
            self._pending.popleft()
        self._on_written(counts)

    def _report_lost(self) -> None:
        if self._lost:
            lost, self._lost = self._lost, 0
            log.error("usage records were dropped: the database was away too long", dropped=lost)


@transaction.atomic
def write_batch(batch: list[UsageEntry]) -> dict[UUID, int]:
    """Write records and move their tokens' counters, in one transaction. The admitted requests by token."""
    with connection.cursor() as cursor:
        for start in range(0, len(batch), ROWS_PER_STATEMENT):
            entries = batch[start : start + ROWS_PER_STATEMENT]
            values = [value for entry in entries for value in to_row(entry)]
            cursor.execute(_insert_statement(len(entries)), values)
    counts = _admitted(batch)
    last_used: dict[UUID, float] = {}
    for entry in batch:
        if entry.token_id:
            last_used[entry.token_id] = max(entry.started_at, last_used.get(entry.token_id, 0))
    # In one order everywhere, so that two writers cannot lock each other out.
    for token_id in sorted(last_used):
        used_at = _instant(last_used[token_id])
        AccessToken.objects.filter(pk=token_id).update(
            request_count=F("request_count") + counts.get(token_id, 0),
            last_used_at=Case(When(last_used_at__gt=used_at, then=F("last_used_at")), default=Value(used_at)),
        )
    return counts


def _admitted(batch: list[UsageEntry]) -> dict[UUID, int]:
    return dict(Counter(entry.token_id for entry in batch if entry.is_admitted and entry.token_id))


def to_row(entry: UsageEntry) -> list[Any]:
    """The entry as the database takes it, column by column; strings as long as their columns."""
    row = list(msgspec.structs.astuple(entry))
    for position, adapt in _adapters():
        row[position] = adapt(row[position])
    return row


# By hand, because for so many small rows bulk_create's own work costs more than the database's; many rows in
# one statement, because each statement takes the interpreter's lock from the event loop and back.
@cache
def _insert_statement(rows: int) -> str:
    quote = connection.ops.quote_name
    columns = ", ".join(quote(str(field.column)) for field in _fields())
    row = f"({', '.join(['%s'] * len(_fields()))})"
    table = quote(UsageRecord._meta.db_table)
    return f"INSERT INTO {table} ({columns}) VALUES {', '.join([row] * rows)}"  # noqa: S608


@cache
def _adapters() -> list[tuple[int, Callable[[Any], Any]]]:
    """For the columns whose values the driver does not take as they are: where, and how."""
    adapters = [(position, _adapter(field)) for position, field in enumerate(_fields())]
    return [(position, adapt) for position, adapt in adapters if adapt is not None]


def _fields() -> "list[Field[Any, Any]]":
    """The table's columns, in the order of an entry's fields; their names are the same."""
    by_name = {field.attname: field for field in UsageRecord._meta.concrete_fields}
    return [by_name[name] for name in UsageEntry.__struct_fields__]


def _adapter(field: "Field[Any, Any]") -> Callable[[Any], Any] | None:
    if isinstance(field, CharField):
        return str if field.choices else _fitting(field.max_length or 0)
    if isinstance(field, DateTimeField):
        return lambda seconds: connection.ops.adapt_datetimefield_value(_instant(seconds))
    if isinstance(field, UUIDField | ForeignKey) and not connection.features.has_native_uuid_field:
        return lambda value: value.hex
    return None


def _fitting(length: int) -> Callable[[str], str]:
    def fit(text: str) -> str:
        if len(text) <= length and "\0" not in text:
            return text
        return text.replace("\0", "\ufffd")[:length]  # PostgreSQL has no NUL in text

    return fit


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
