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

import structlog
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Case, CharField, DateTimeField, F, Field, ForeignKey, UUIDField, Value, When

from tokens.models import AccessToken
from usage.entry import UsageEntry
from usage.models import UsageRecord

BATCH_ROWS = 500
RETRY_SECONDS = 1.0

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

    def stop(self, timeout_seconds: float = 10) -> int:
        """Write what is pending and end the thread. The number of records that could not be written."""
        self._stopping.set()
        self._thread.join(timeout=timeout_seconds)
        return len(self._pending) + self._lost

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
            except Exception:
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
        cursor.executemany(_insert_statement(), [to_row(entry) for entry in batch])
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
    return [adapt(getattr(entry, name)) for name, adapt in _ADAPTERS.items()]


@cache
def _insert_statement() -> str:
    # bulk_create would spend more time on building its statement than the database on running it.
    quote = connection.ops.quote_name
    columns = ", ".join(quote(str(field.column)) for field in UsageRecord._meta.concrete_fields)
    values = ", ".join(["%s"] * len(UsageRecord._meta.concrete_fields))
    return f"INSERT INTO {quote(UsageRecord._meta.db_table)} ({columns}) VALUES ({values})"  # noqa: S608


def _adapter(field: "Field[Any, Any]") -> Callable[[Any], Any]:
    """From an entry's value to what the database's driver takes."""
    if isinstance(field, CharField) and not field.choices:
        length = field.max_length
        # PostgreSQL has no NUL in text.
        return lambda text: text.replace("\0", "\ufffd")[:length]
    if isinstance(field, DateTimeField):
        return lambda seconds: field.get_db_prep_save(_instant(seconds), connection)
    if isinstance(field, UUIDField | ForeignKey):
        return lambda value: field.get_db_prep_save(value, connection)
    return lambda value: value


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


_ADAPTERS = {field.attname: _adapter(field) for field in UsageRecord._meta.concrete_fields}
