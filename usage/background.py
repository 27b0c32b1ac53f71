"""Charges work that goes on upstream by itself: once, when it is found finished.

Its creation was charged what it might come to. Whoever first finds it finished, whatever the number of
fetches and processes, puts the truth in the place of that: in the creation's row of the ledger, and in the
sums of its day. Within the transaction that writes the ledger's rows.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from usage.daily_spend import DAY_SECONDS, DayOfUse
from usage.entry import UsageEntry
from usage.models import BackgroundWork, UsageRecord
from usage.statements import fitting

USED = (
    "usage_source",
    "model",
    "service_tier",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "cache_write_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "image_input_tokens",
    "image_output_tokens",
    "audio_seconds",
    "cost_source",
    "cost_microusd",
)
"""What is not known of work before it is finished."""


def settle_work(batch: Iterable[UsageEntry]) -> list[DayOfUse]:
    """After the batch's rows are written. By how much the days must be corrected on which work began that
    is found finished; work is locked before days are, in the order of its ids.
    """
    about_work = [entry for entry in batch if entry.work_id]
    if not about_work:
        return []
    _begin([entry for entry in about_work if entry.begins_work])
    finished = [entry for entry in about_work if entry.finished is not None]
    corrections = [_finish(entry) for entry in sorted(finished, key=lambda entry: entry.work_id)]
    return [correction for correction in corrections if correction is not None]


def _begin(entries: list[UsageEntry]) -> None:
    BackgroundWork.objects.bulk_create(
        [
            BackgroundWork(
                project_id=project_id,
                object_id=entry.work_id,
                record_id=entry.id,
                charged_microusd=entry.cost_microusd or 0,
            )
            for entry in sorted(entries, key=lambda entry: entry.work_id)
            if (project_id := entry.project_id) is not None
        ],
        ignore_conflicts=True,
    )


def _finish(entry: UsageEntry) -> DayOfUse | None:
    """None: it was not begun here, or is charged already."""
    project_id, used = entry.project_id, entry.finished
    if project_id is None or used is None:
        return None
    open_work = BackgroundWork.objects.select_for_update().filter(
        project_id=project_id, object_id=entry.work_id, finished_at=None
    )
    work = open_work.first()
    if work is None:
        return None
    work.finished_at = datetime.fromtimestamp(entry.started_at, UTC)
    work.save(update_fields=["finished_at"])
    records = UsageRecord.objects.filter(pk=work.record_id)
    begun = records.values_list("token_id", "project_id", "started_at").first()
    if begun is None:
        return None
    records.update(**{field: _stored(used, field) for field in USED})
    token_id, project_id, started_at = begun
    return DayOfUse(
        token_id=token_id,
        project_id=project_id,
        day_ms=int(started_at.timestamp() // DAY_SECONDS) * DAY_SECONDS * 1000,
        cost_microusd=(used.cost_microusd or 0) - work.charged_microusd,
    )


def _stored(used: UsageEntry, field: str) -> Any:
    """The value of one of these columns; upstream's words as long as they may be."""
    value = getattr(used, field)
    if type(value) is not str:
        return value
    return fitting(getattr(UsageRecord._meta.get_field(field), "max_length", 0))(value)
