"""The ledger's sums by subject and UTC day: moved with its rows, read by the limits and the alerts."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from django.db.models import Q, Sum

from tokens.limits.periods import DAY_MS, WINDOWS, Window, first_days_at, resets_at
from usage.entry import UsageEntry
from usage.models import DailySpend

DAY_SECONDS = DAY_MS // 1000


@dataclass(slots=True)
class DayOfUse:
    """What some requests of one token, begun on one UTC day, come to."""

    token_id: UUID
    project_id: UUID
    day_ms: int
    """Its first instant."""
    requests: int = 0
    """Admitted ones."""
    last_ended_at: float = 0.0
    """Of the admitted ones, in seconds since the epoch."""
    cost_microusd: int = 0
    """The known costs."""

    @property
    def day(self) -> date:
        return first_days_at(self.day_ms)[WINDOWS.index(Window.DAILY)]


def sum_up(batch: list[UsageEntry]) -> list[DayOfUse]:
    """By token and day, in this order. Requests that were refused and cost nothing are no use."""
    days: dict[tuple[UUID, int], DayOfUse] = {}
    for entry in batch:
        token_id, project_id = entry.token_id, entry.project_id
        if token_id is None or project_id is None or not (entry.is_admitted or entry.cost_microusd):
            continue
        key = token_id, int(entry.started_at // DAY_SECONDS)
        day = days.get(key)
        if day is None:
            day = days[key] = DayOfUse(token_id, project_id, key[1] * DAY_MS)
        if entry.is_admitted:
            day.requests += 1
            day.last_ended_at = max(day.last_ended_at, entry.started_at + entry.duration_seconds)
        day.cost_microusd += entry.cost_microusd or 0
    return [days[key] for key in sorted(days)]


def spent_by(
    subject_ids: Collection[UUID], windows: Collection[Window], at_ms: int
) -> dict[UUID, dict[Window, int]]:
    """What each of these spent in each of these windows' periods that an instant belongs to, in one query."""
    first_days = first_days_at(at_ms)
    since = min(first_days[WINDOWS.index(window)] for window in windows)
    rows = (
        DailySpend.objects.filter(subject_id__in=subject_ids, day__gte=since)
        .values("subject_id")
        .annotate(**{window: spent_in(window, at_ms) for window in windows})
        .values_list("subject_id", *windows)
    )
    spent = {subject_id: dict(zip(windows, sums, strict=True)) for subject_id, *sums in rows}
    return {each: spent.get(each, dict.fromkeys(windows, 0)) for each in subject_ids}


def spent_in(window: Window, at_ms: int) -> Sum:
    """To aggregate days: what they cost in the window's period that an instant belongs to."""
    is_in_period = Q(day__gte=first_days_at(at_ms)[WINDOWS.index(window)])
    next_period = resets_at(window, at_ms)
    if next_period is not None:
        is_in_period &= Q(day__lt=next_period.date())
    return Sum("cost_microusd", filter=is_in_period, default=0)
