"""Deletes old rows of the ledger, in transactions so short that nobody who writes waits long.

Rollups and daily sums stay, and so do rows that work still refers to which has not been found finished.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, Model, OuterRef, QuerySet

from audit import trail
from usage.marks import PRUNED_BEFORE, advance
from usage.models import BackgroundWork, LedgerMark, UsageRecord
from usage.rebuilding import rebuild_if_unsummed

LEAST_AGE = timedelta(days=1)
"""What is younger may still be corrected, and limits may still be counted from it."""
FIRST_BATCH_ROWS = 200
MAX_BATCH_ROWS = 5000
BATCH_SECONDS = 0.04
"""What a transaction should take. SQLite lets nobody else write meanwhile."""


@dataclass(frozen=True, slots=True)
class Pruned:
    before: datetime
    records: int
    work: int
    longest_seconds: float = 0.0
    """That one of its transactions took."""

    @property
    def rows(self) -> int:
        return self.records + self.work


def cutoff(older_than: timedelta, now: datetime) -> datetime:
    """Whole UTC days are pruned: their hours' rollups are then never half of what they were."""
    return (now - max(older_than, LEAST_AGE)).replace(hour=0, minute=0, second=0, microsecond=0)


def prunable(before: datetime) -> tuple["QuerySet[UsageRecord]", "QuerySet[BackgroundWork]"]:
    unfinished = BackgroundWork.objects.filter(record_id=OuterRef("pk"), finished_at=None)
    records = UsageRecord.objects.filter(~Exists(unfinished), started_at__lt=before)
    return records.order_by("started_at"), BackgroundWork.objects.filter(finished_at__lt=before)


def prune(
    before: datetime,
    *,
    actor: str,
    is_stopping: Callable[[], bool] = lambda: False,
    on_deleted: Callable[[int], None] = lambda rows: None,
) -> Pruned:
    """Delete what is prunable, and sum up before what was never summed up. It can be stopped at any time, and
    run again. `on_deleted` hears of each batch how many rows it had.
    """
    rebuild_if_unsummed()
    advance(PRUNED_BEFORE, before)
    records, work = prunable(before)
    deleted, longest = _delete(records, is_stopping, on_deleted)
    finished, _ = _delete(work, is_stopping, on_deleted)
    pruned = Pruned(before, deleted, finished, longest)
    if pruned.records or pruned.work:
        mark = LedgerMark.objects.get(pk=PRUNED_BEFORE)
        details = {"before": before.isoformat(), "records": pruned.records, "work": pruned.work}
        trail.record("usage.pruned", mark, actor=actor, details=details)
    return pruned


def _delete(
    rows: "QuerySet[Model]", is_stopping: Callable[[], bool], on_deleted: Callable[[int], None]
) -> tuple[int, float]:
    deleted, longest, size = 0, 0.0, FIRST_BATCH_ROWS
    while not is_stopping():
        ids = list(rows.values_list("pk", flat=True)[:size])
        if not ids:
            break
        began = time.monotonic()
        with transaction.atomic():
            rows.model._default_manager.filter(pk__in=ids).delete()
        took = time.monotonic() - began
        deleted, longest = deleted + len(ids), max(longest, took)
        on_deleted(len(ids))
        size = min(MAX_BATCH_ROWS, max(1, int(size * min(2.0, BATCH_SECONDS / max(took, 0.001)))))
        time.sleep(took)  # those who wait for SQLite's lock look for it now and then: let them find it free
    return deleted, longest
