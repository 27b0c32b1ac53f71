"""The ledger's writer: records are handed over in memory and written in batches by one thread.

The event loop never waits for the database. While the database is away, records wait here, up to a bound.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from uuid import UUID

import structlog
from django.db import InterfaceError, OperationalError, connection, transaction

from usage.alerts import lock_projects, raise_alerts
from usage.background import FindPrice, settle_work
from usage.daily_spend import DayOfUse, sum_up
from usage.entry import UsageEntry
from usage.rollup_statements import move_rollups
from usage.statements import add_to_days, insert_records, use_tokens
from usage.sums import add_up

BATCH_ROWS = 500
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
        on_corrected: Callable[[list[DayOfUse]], None] = lambda corrections: None,
        find_price: FindPrice = lambda model, tier: None,
    ) -> None:
        """`on_written` is called, from any thread, with the numbers of admitted requests that are written, or
        given up, by subject: of each token and of each project. `on_corrected`, likewise, with what is
        charged to earlier requests, perhaps less than nothing. `find_price`
        prices work that is found finished.
        """
        self._batch_seconds = batch_seconds
        self._max_pending = max_pending
        self._on_written = on_written
        self._on_corrected = on_corrected
        self._find_price = find_price
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
                counts = write_batch(batch, self._on_corrected, self._find_price)
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
                counts = write_batch([entry], self._on_corrected, self._find_price)
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
def write_batch(
    batch: list[UsageEntry],
    on_corrected: Callable[[list[DayOfUse]], None] = lambda corrections: None,
    find_price: FindPrice = lambda model, tier: None,
) -> dict[UUID, int]:
    """Write records and move what is summed from them, in one transaction. The admitted requests by subject.

    Rows are locked in one order everywhere, so that two writers cannot lock each other out: work by its
    upstream id, projects by id, tokens by id, days by their subject's id and the day, rollups by their keys.
    """
    insert_records(batch)
    settled = settle_work(batch, find_price)
    corrections = [correction.day for correction in settled]
    if corrections:
        transaction.on_commit(partial(on_corrected, corrections))
    days = sum_up(batch) + corrections
    projects = lock_projects(days)
    use_tokens(days)
    add_to_days(days)
    raise_alerts(days, projects)
    rows = [(entry.started_at, entry) for entry in batch]
    move_rollups(add_up(rows, [correction.edit for correction in settled]))
    return _admitted(batch)


def _admitted(batch: list[UsageEntry]) -> dict[UUID, int]:
    """By subject."""
    admitted = [entry for entry in batch if entry.is_admitted]
    counts = Counter(entry.token_id for entry in admitted) + Counter(entry.project_id for entry in admitted)
    return {subject_id: count for subject_id, count in counts.items() if subject_id is not None}
