"""What was used, read from the rollups: totals, series, the top ones, percentiles. Never from the ledger's
rows, so the cost depends on hours or days and on what was active in them, not on the number of requests.

Each function is one query.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import F, QuerySet, Sum

from usage.latency import percentile
from usage.models import LatencyRollup, Measure, ModelRollup, Period, TokenRollup
from usage.sums import SECONDS, Sums

LONGEST_BY_HOUR = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Span:
    """Whole hours or whole UTC days, from `since` on, before `until`."""

    period: Period
    since: datetime
    until: datetime

    @classmethod
    def last(
        cls, length: timedelta, now: datetime, *, longest_by_hour: timedelta = LONGEST_BY_HOUR
    ) -> "Span":
        """The hour that runs and those before it that `length` reaches into; of more than a week, days."""
        period = Period.HOUR if length <= longest_by_hour else Period.DAY
        step = timedelta(seconds=SECONDS[period])
        return cls(period, _begin_of(period, now - length), _begin_of(period, now) + step)

    @classmethod
    def between(cls, period: Period, since: datetime, until: datetime) -> "Span":
        """The whole hours or days in which anything between the two instants lies."""
        step = timedelta(seconds=SECONDS[period])
        last = _begin_of(period, until)
        return cls(period, _begin_of(period, since), last if last == until else last + step)

    @property
    def starts(self) -> list[datetime]:
        step = timedelta(seconds=SECONDS[self.period])
        return [self.since + number * step for number in range((self.until - self.since) // step)]


@dataclass(frozen=True, slots=True)
class Scope:
    """Of what: all, one project, or one token; of these projects only, if any are named."""

    project_id: UUID | None = None
    token_id: UUID | None = None
    project_ids: frozenset[UUID] | None = None


@dataclass(frozen=True, slots=True)
class Point:
    starts_at: datetime
    sums: Sums


@dataclass(frozen=True, slots=True)
class Ranked:
    """One of the top ones: a project's or token's id, or a model's name."""

    key: UUID | str
    sums: Sums


@dataclass(frozen=True, slots=True)
class Latencies:
    """In seconds; None: no request was answered. By measure, then by share."""

    requests: int
    seconds: Mapping[Measure, Mapping[float, float | None]]


EVERYTHING = Scope()
SHARES = (0.5, 0.95)
_TOTALS = {f"total_{name}": Sum(name, default=0) for name in Sums._fields}


def totals(span: Span, scope: Scope = EVERYTHING) -> Sums:
    found = _rows(span, scope).aggregate(**_TOTALS)
    return _sums(found)


def series(span: Span, scope: Scope = EVERYTHING) -> list[Point]:
    """One point for each hour or day, in order, those without requests too."""
    found = {
        row["starts_at"]: _sums(row) for row in _rows(span, scope).values("starts_at").annotate(**_TOTALS)
    }
    return [Point(start, found.get(start, Sums())) for start in span.starts]


def top_projects(
    span: Span, count: int, *, by: str = "cost_microusd", scope: Scope = EVERYTHING
) -> list[Ranked]:
    return _top(_rows(span, scope), "project_id", count, by)


def top_tokens(
    span: Span, count: int, *, by: str = "cost_microusd", scope: Scope = EVERYTHING
) -> list[Ranked]:
    rows = _of(TokenRollup, span)
    return _top(_in(rows, scope), "token_id", count, by)


def top_models(
    span: Span, count: int, *, by: str = "cost_microusd", scope: Scope = EVERYTHING
) -> list[Ranked]:
    """Of all, or of projects: by token they are not summed up."""
    rows = _of(ModelRollup, span)
    return _top(_in(rows, replace(scope, token_id=None)), "model", count, by)


def latencies(span: Span, scope: Scope = EVERYTHING, shares: Sequence[float] = SHARES) -> Latencies:
    """Of all, or of projects."""
    rows = _in(_of(LatencyRollup, span), replace(scope, token_id=None)).values_list("measure", "bucket")
    buckets: dict[Measure, dict[int, int]] = {measure: {} for measure in Measure}
    for measure, bucket, requests in rows.annotate(total=Sum("requests")):
        buckets[Measure(measure)][bucket] = int(requests)
    return _latencies(buckets, shares)


def latency_series(
    span: Span, scope: Scope = EVERYTHING, shares: Sequence[float] = SHARES
) -> list[tuple[datetime, Latencies]]:
    """One for each hour or day, in order. Of all, or of projects."""
    found: dict[datetime, dict[Measure, dict[int, int]]]
    found = defaultdict(lambda: {measure: {} for measure in Measure})
    rows = _in(_of(LatencyRollup, span), replace(scope, token_id=None))
    rows = rows.values_list("starts_at", "measure", "bucket")
    for starts_at, measure, bucket, requests in rows.annotate(total=Sum("requests")):
        found[starts_at][Measure(measure)][bucket] = int(requests)
    return [(start, _latencies(found[start], shares)) for start in span.starts]


def _begin_of(period: Period, instant: datetime) -> datetime:
    start = instant.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return start if period is Period.HOUR else start.replace(hour=0)


def _rows(span: Span, scope: Scope) -> "QuerySet[Any]":
    """There are fewer rows by model than by token."""
    return _in(_of(ModelRollup if scope.token_id is None else TokenRollup, span), scope)


def _of(table: Any, span: Span) -> "QuerySet[Any]":
    rows: QuerySet[Any] = table.objects.filter(
        period=span.period, starts_at__gte=span.since, starts_at__lt=span.until
    )
    return rows


def _in(rows: "QuerySet[Any]", scope: Scope) -> "QuerySet[Any]":
    if scope.project_id is not None:
        rows = rows.filter(project_id=scope.project_id)
    if scope.project_ids is not None:
        rows = rows.filter(project_id__in=scope.project_ids)
    if scope.token_id is not None:
        rows = rows.filter(token_id=scope.token_id)
    return rows


def _top(rows: "QuerySet[Any]", key: str, count: int, by: str) -> list[Ranked]:
    ranked = rows.values(key).annotate(**_TOTALS).order_by(F(f"total_{by}").desc(), key)[:count]
    return [Ranked(row[key], _sums(row)) for row in ranked]


def _sums(row: Mapping[str, Any]) -> Sums:
    return Sums(*(int(row[f"total_{name}"]) for name in Sums._fields))


def _latencies(buckets: Mapping[Measure, Mapping[int, int]], shares: Sequence[float]) -> Latencies:
    seconds = {
        measure: {share: percentile(of_measure, share) for share in shares}
        for measure, of_measure in buckets.items()
    }
    return Latencies(sum(buckets[Measure.DURATION].values()), seconds)
