"""Charges work that goes on upstream by itself: once, when it is found finished.

Its creation was charged what it might come to. Whoever first finds it finished, whatever the number of
fetches and processes, puts the truth in the place of that: in the creation's row of the ledger, and in the
sums of its day. Within the transaction that writes the ledger's rows.
"""

from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from usage.costs import BYTES_PER_MODEL_TOKEN, OUTPUT_TOKENS_PER_SECOND, cost_of
from usage.daily_spend import DAY_SECONDS, DayOfUse
from usage.entry import COUNTS, UsageEntry
from usage.models import BackgroundWork, UsageRecord
from usage.outcomes import CostSource, UsageSource
from usage.prices import Price
from usage.statements import fitting
from usage.sums import Edit

FindPrice = Callable[[str, str], Price | None]
"""By a model and a service tier; from any thread."""

USED = (
    "usage_source",
    "model",
    "service_tier",
    *COUNTS,
    "cost_source",
    "cost_microusd",
)
"""What is not known of work before it is finished."""


@dataclass(frozen=True, slots=True)
class Correction:
    """What work that is found finished changes."""

    day: DayOfUse
    """By how much the day on which it began is corrected."""
    edit: Edit
    """How its creation's row was, and is."""


def settle_work(batch: Iterable[UsageEntry], find_price: FindPrice) -> list[Correction]:
    """After the batch's rows are written. Work is locked before days are, in the order of its ids."""
    about_work = [entry for entry in batch if entry.work_id]
    if not about_work:
        return []
    _begin([entry for entry in about_work if entry.begins_work])
    finished = [entry for entry in about_work if entry.finished is not None]
    corrections = [_finish(entry, find_price) for entry in sorted(finished, key=lambda entry: entry.work_id)]
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


def _finish(entry: UsageEntry, find_price: FindPrice) -> Correction | None:
    """None: it was not begun here, is charged already, or has no price."""
    project_id, finished = entry.project_id, entry.finished
    if project_id is None or finished is None:
        return None
    open_work = BackgroundWork.objects.select_for_update().filter(
        project_id=project_id, object_id=entry.work_id, finished_at=None
    )
    work = open_work.first()
    if work is None:
        return None
    begun = UsageRecord.objects.filter(pk=work.record_id).first()
    if begun is None:
        return None
    used = _used_by(begun, entry, finished.used)
    price = _price_of(begun, used, find_price, is_batch=finished.is_batch)
    if price is None or (used.input_tokens is None and used.output_tokens is None):
        return None
    used.model = used.model or begun.model
    cost = cost_of(used, price, finished.cached_audio_tokens)
    used.cost_source, used.cost_microusd = CostSource.PRICE, cost
    changes = {field: _stored(used, field) for field in USED}
    UsageRecord.objects.filter(pk=begun.pk).update(**changes)
    work.finished_at = datetime.fromtimestamp(entry.started_at, UTC)
    work.save(update_fields=["finished_at"])
    started_at = begun.started_at.timestamp()
    day = DayOfUse(
        token_id=begun.token_id,
        project_id=begun.project_id,
        day_ms=int(started_at // DAY_SECONDS) * DAY_SECONDS * 1000,
        cost_microusd=cost - work.charged_microusd,
    )
    return Correction(day, Edit(started_at, begun, _changed(begun, changes)))


def _changed(row: UsageRecord, changes: dict[str, Any]) -> UsageRecord:
    changed = copy(row)
    for field, value in changes.items():
        setattr(changed, field, value)
    return changed


def _used_by(begun: UsageRecord, found: UsageEntry, told: UsageEntry | None) -> UsageEntry:
    """`told` is to be estimated where the work was cancelled, and None where it has failed."""
    if told is None:
        return _failed(begun)
    return _cancelled(begun, found) if told.usage_source is UsageSource.ESTIMATED else told


def _failed(begun: UsageRecord) -> UsageEntry:
    """What work has used that upstream has failed in: its input, as far as that is known."""
    return _estimated(begun, _likely_input_tokens(begun), 0)


def _cancelled(begun: UsageRecord, found: UsageEntry) -> UsageEntry:
    """What work has used that its client has ended: as if it had hung up, by the time until it was found so;
    never more than its creation was charged.
    """
    seconds = found.started_at + found.duration_seconds - begun.started_at.timestamp()
    output_tokens = min(int(max(0.0, seconds) * OUTPUT_TOKENS_PER_SECOND), begun.output_tokens or 0)
    has_input_elsewhere = (begun.input_tokens or 0) > begun.request_bytes  # a byte is at most one
    likely = _likely_input_tokens(begun)
    return _estimated(begun, begun.input_tokens if has_input_elsewhere else likely, output_tokens)


def _likely_input_tokens(begun: UsageRecord) -> int:
    return max(1, begun.request_bytes // BYTES_PER_MODEL_TOKEN)


def _estimated(begun: UsageRecord, input_tokens: int | None, output_tokens: int) -> UsageEntry:
    used = UsageEntry(id=begun.id, started_at=0, method="", path="", model=begun.model)
    used.usage_source, used.service_tier = UsageSource.ESTIMATED, begun.service_tier
    used.input_tokens, used.output_tokens = input_tokens, output_tokens
    return used


def _price_of(begun: UsageRecord, used: UsageEntry, find_price: FindPrice, *, is_batch: bool) -> Price | None:
    """By the name that was asked for, else the one that answered, as in the foreground. A batch is the sum of
    many requests: how long each was is not known, and most are short.
    """
    tier = used.service_tier or ("batch" if is_batch else "")
    price = find_price(begun.model, tier) or find_price(used.model, tier)
    return replace(price, tiers=()) if price is not None and is_batch else price


def _stored(used: UsageEntry, field: str) -> Any:
    """The value of one of these columns; upstream's words as long as they may be."""
    value = getattr(used, field)
    if type(value) is not str:
        return value
    return fitting(getattr(UsageRecord._meta.get_field(field), "max_length", 0))(value)
