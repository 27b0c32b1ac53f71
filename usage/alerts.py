"""Budgets that reach a threshold: each is told once, as an audit event and a line in the log.

A step of the ledger's writing, in its transaction: what is told stands or falls with what was spent.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial

import structlog
from django.db import transaction
from django.db.models import Count, Q

from audit import trail
from audit.models import AuditEvent
from projects.limits import BUDGETS
from projects.models import Project
from projects.money import usd_text
from tokens.limits.periods import WINDOWS, Window, first_days_at
from tokens.limits.values import Limits
from tokens.models import AccessToken
from usage.daily_spend import DayOfUse, spent_by
from usage.models import BudgetAlert

THRESHOLDS_PERCENT = (80, 100)
HAS_BUDGET = ~Q(**dict.fromkeys(BUDGETS))

log = structlog.get_logger("usage")


@dataclass(frozen=True, slots=True)
class Reached:
    """A threshold that is reached."""

    subject: AccessToken | Project
    window: Window
    period: date
    """Its first day."""
    limit_microusd: int
    percent: int
    spent_microusd: int


def lock_projects(days: list[DayOfUse]) -> list[Project]:
    """Those with a budget that these days spend of, locked in one order, before any other row is.

    Two writers that add to different days of one project would not see each other's part, and neither might
    see the threshold. The tokens of requests are locked anyway: their own rows are moved. Two that only
    correct different days of one token might both miss its threshold; its next request that costs tells it.
    """
    ids = {day.project_id for day in days if day.cost_microusd}
    if not ids:
        return []
    return list(Project.objects.filter(HAS_BUDGET, pk__in=ids).order_by("pk").select_for_update())


def raise_alerts(days: list[DayOfUse], projects: list[Project]) -> None:
    """After the days are added. `projects` are those that were locked."""
    ids = {day.token_id for day in days if day.cost_microusd}
    if not ids:
        return
    subjects = [*AccessToken.objects.filter(HAS_BUDGET, pk__in=ids).order_by("pk"), *projects]
    if not subjects:
        return
    for day_ms in sorted({day.day_ms for day in days if day.cost_microusd}):
        for each in _reached(subjects, day_ms):
            if _is_first(each):
                _tell(each)


def thresholds_reached() -> dict[int, int]:
    """How many have been told, ever, by percent. Raises django.db.Error."""
    counts = BudgetAlert.objects.values_list("percent").annotate(Count("pk"))
    return dict.fromkeys(THRESHOLDS_PERCENT, 0) | dict(counts)


def _reached(subjects: list[AccessToken | Project], day_ms: int) -> Iterator[Reached]:
    budgets = {subject.id: _budgets(subject) for subject in subjects}
    windows = {window for of_subject in budgets.values() for window in of_subject}
    first_days = dict(zip(WINDOWS, first_days_at(day_ms), strict=True))
    spent = spent_by(budgets.keys(), windows, day_ms)
    for subject in subjects:
        for window, budget in budgets[subject.id].items():
            spent_microusd = spent[subject.id][window]
            for percent in THRESHOLDS_PERCENT:
                if spent_microusd * 100 >= budget * percent:
                    yield Reached(subject, window, first_days[window], budget, percent, spent_microusd)


def _budgets(subject: AccessToken | Project) -> dict[Window, int]:
    budgets = zip(WINDOWS, Limits.of(subject).budgets, strict=True)
    return {window: budget for window, budget in budgets if budget is not None}


def _is_first(reached: Reached) -> bool:
    _, is_first = BudgetAlert.objects.get_or_create(
        subject_id=reached.subject.id,
        window=reached.window,
        period=reached.period,
        limit_microusd=reached.limit_microusd,
        percent=reached.percent,
    )
    return is_first


def _tell(reached: Reached) -> None:
    subject = reached.subject
    event = trail.record(
        "budget.threshold_reached",
        subject,
        actor="system",
        project_id=subject.id if isinstance(subject, Project) else subject.project_id,
        details={
            "window": reached.window,
            "percent": reached.percent,
            "budget_usd": usd_text(reached.limit_microusd),
            "spent_usd": usd_text(reached.spent_microusd),
            "period": reached.period.isoformat(),
        },
    )
    transaction.on_commit(partial(_log, event))


def _log(event: AuditEvent) -> None:
    log.warning(
        "a budget has reached a threshold",
        subject_type=event.subject_type,
        subject_id=event.subject_id,
        subject_name=event.subject_name,
        **event.details,
    )
