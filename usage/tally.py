"""What the ledger knows of a subject, for the limits to build its counters from."""

from datetime import UTC, datetime, timedelta

from django.db.models import Sum

from tokens.limits.periods import WINDOWS
from tokens.limits.values import MINUTE_MS, Subject, Tally
from usage.daily_spend import spent_in
from usage.models import DailySpend, UsageRecord

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def load_tally(subject: Subject, at_ms: int) -> Tally:
    """As of an instant, in two queries, for a worker thread. Unknown costs and model tokens count as 0."""
    sums = DailySpend.objects.filter(subject_id=subject.id).aggregate(
        admitted=Sum("requests", default=0), **{window: spent_in(window, at_ms) for window in WINDOWS}
    )
    total, daily, weekly, monthly = (sums[window] for window in WINDOWS)
    return Tally(sums["admitted"], _recent(subject, at_ms), (total, daily, weekly, monthly))


def _recent(subject: Subject, at_ms: int) -> tuple[tuple[int, int], ...]:
    rows = (
        UsageRecord.objects.filter(**{f"{subject.kind}_id": subject.id})
        .filter(is_admitted=True, started_at__gt=_instant(at_ms - MINUTE_MS))
        .order_by("started_at")
        .values_list("started_at", "input_tokens", "output_tokens")
    )
    return tuple(
        (_ms(started_at), (input_tokens or 0) + (output_tokens or 0))
        for started_at, input_tokens, output_tokens in rows
    )


def _instant(at_ms: int) -> datetime:
    return EPOCH + timedelta(milliseconds=at_ms)


def _ms(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(milliseconds=1)
