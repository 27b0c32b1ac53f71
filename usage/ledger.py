"""The ledger's writer: records are handed over in memory and written in batches by one thread.

The event loop never waits for the database. While the database is away, records wait here, up to a bound.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import structlog
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import CharField, F

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
        """`on_written` is called from the writer's thread with the admitted requests by token."""
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
                continue
            except Exception:
                log.exception("a batch of usage was refused, writing its rows one by one")
                counts = self._write_singly(batch)
            for _ in batch:
                self._pending.popleft()
            self._on_written(counts)

    def _write_singly(self, batch: list[UsageEntry]) -> dict[UUID, int]:
        """One bad row must not hold up the others; it stays in the log."""
        counts: Counter[UUID] = Counter()
        for entry in batch:
            try:
                counts.update(write_batch([entry]))
            except Exception:
                log.exception("a usage record was refused", entry=entry)
        return counts

    def _report_lost(self) -> None:
        if self._lost:
            lost, self._lost = self._lost, 0
            log.error("usage records were dropped: the database was away too long", dropped=lost)


@transaction.atomic
def write_batch(batch: list[UsageEntry]) -> dict[UUID, int]:
    """Write records and move their tokens' counters, in one transaction. The admitted requests by token."""
    UsageRecord.objects.bulk_create([to_record(entry) for entry in batch])
    counts = Counter(entry.token_id for entry in batch if entry.is_admitted and entry.token_id)
    last_used = {entry.token_id: _instant(entry.started_at) for entry in batch if entry.token_id}
    # In one order everywhere, so that two writers cannot lock each other out.
    for token_id in sorted(last_used):
        AccessToken.objects.filter(pk=token_id).update(
            request_count=F("request_count") + counts[token_id], last_used_at=last_used[token_id]
        )
    return dict(counts)


def to_record(entry: UsageEntry) -> UsageRecord:
    """The entry as a row: names by field, strings as long as their columns."""
    values = msgspec.structs.asdict(entry)
    values["started_at"] = _instant(entry.started_at)
    for name, length in _LENGTHS.items():
        # PostgreSQL has no NUL in text.
        values[name] = values[name].replace("\0", "\ufffd")[:length]
    return UsageRecord(**values)


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


_LENGTHS = {
    field.name: field.max_length
    for field in UsageRecord._meta.concrete_fields
    if isinstance(field, CharField) and not field.choices
}
