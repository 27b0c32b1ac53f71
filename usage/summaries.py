"""What was used in a span of time, in all and by groups, as plain data: what the API and commands tell."""

from datetime import timedelta
from enum import StrEnum
from typing import Any

from projects.models import Project
from tokens.models import AccessToken
from usage import rollups
from usage.facts import latency_facts, sums_facts
from usage.models import Period
from usage.rollups import LONGEST_BY_HOUR, Ranked, Scope, Span


class GroupBy(StrEnum):
    PROJECT = "project"
    TOKEN = "token"  # noqa: S105 (a word)
    MODEL = "model"
    HOUR = "hour"
    DAY = "day"


_TOP = {
    GroupBy.PROJECT: rollups.top_projects,
    GroupBy.TOKEN: rollups.top_tokens,
    GroupBy.MODEL: rollups.top_models,
}
_PERIODS = {GroupBy.HOUR: Period.HOUR, GroupBy.DAY: Period.DAY}


def period_of(group_by: GroupBy, length: timedelta) -> Period:
    """Of what such a summary is added up: hours, or days where it is longer than a week."""
    return _PERIODS.get(group_by, Period.HOUR if length <= LONGEST_BY_HOUR else Period.DAY)


def summary_facts(group_by: GroupBy, span: Span, scope: Scope, limit: int) -> dict[str, Any]:
    """`limit`: of groups that are no hours or days; the dearest come first. Of one token, usage is not known
    by model.
    """
    return {
        "since": span.since.isoformat(),
        "until": span.until.isoformat(),
        "period": span.period.value,
        "group_by": group_by.value,
        "total": sums_facts(rollups.totals(span, scope)),
        "latency": None if scope.token_id else latency_facts(rollups.latencies(span, scope)),
        "data": _groups(group_by, span, scope, limit),
    }


def _groups(group_by: GroupBy, span: Span, scope: Scope, limit: int) -> list[dict[str, Any]]:
    if group_by in _PERIODS:
        return _series(span, scope)
    ranked = _TOP[group_by](span, limit, scope=scope)
    names = _names(group_by, ranked)
    return [
        {"key": str(each.key), "name": names.get(each.key), **sums_facts(each.sums), "latency": None}
        for each in ranked
    ]


def _series(span: Span, scope: Scope) -> list[dict[str, Any]]:
    latencies = {} if scope.token_id else dict(rollups.latency_series(span, scope))
    return [
        {
            "key": point.starts_at.isoformat(),
            "name": None,
            **sums_facts(point.sums),
            "latency": latency_facts(latencies[point.starts_at]) if latencies else None,
        }
        for point in rollups.series(span, scope)
    ]


def _names(group_by: GroupBy, ranked: list[Ranked]) -> dict[Any, str]:
    if group_by is GroupBy.MODEL:
        return {}
    model: Any = Project if group_by is GroupBy.PROJECT else AccessToken
    return {key: str(row) for key, row in model.objects.in_bulk([each.key for each in ranked]).items()}
