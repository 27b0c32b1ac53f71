"""Budgets that are nearly used up in their running period: those that have reached a threshold."""

from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import or_

from django.db.models import Q
from django.urls import reverse
from django.utils.safestring import SafeString

from llm_proxy_site.control_room.bars import used_bar
from llm_proxy_site.control_room.figures import usd
from projects.models import Project
from tokens.limits.periods import WINDOWS, Window, first_days_at
from tokens.limits.values import Limits
from tokens.models import AccessToken
from usage.daily_spend import spent_by
from usage.models import BudgetAlert
from usage.rollups import Scope

COUNT = 8
MOST_ALERTS = 200
"""The newest ones are looked at."""


@dataclass(frozen=True, slots=True)
class Budget:
    subject: Project | AccessToken
    window: Window
    spent_microusd: int
    limit_microusd: int

    @property
    def percent(self) -> int:
        return self.spent_microusd * 100 // self.limit_microusd

    @property
    def text(self) -> str:
        return f"{usd(self.spent_microusd)} of {usd(self.limit_microusd)} ({self.percent} %)"

    @property
    def bar(self) -> SafeString:
        return used_bar(self.spent_microusd, self.limit_microusd)

    @property
    def url(self) -> str:
        name = "tokens_accesstoken" if isinstance(self.subject, AccessToken) else "projects_project"
        return reverse(f"admin:{name}_change", args=[self.subject.pk])


def budgets_of(subject: Project | AccessToken, now: datetime) -> list[Budget]:
    """All that it has, with what is spent of them. One query, if there are any."""
    return _with_spent([(subject, window) for window in WINDOWS if _limit(subject, window)], now)


def nearing_their_end(scope: Scope, now: datetime) -> list[Budget]:
    """Four queries at most. What was raised since is told with what it is now."""
    first_days = zip(WINDOWS, first_days_at(_ms(now)), strict=True)
    running = reduce(or_, (Q(window=window, period=first_day) for window, first_day in first_days))
    alerts = BudgetAlert.objects.filter(running)
    if scope.project_ids is not None:
        tokens = AccessToken.objects.filter(project_id__in=scope.project_ids).values("pk")
        alerts = alerts.filter(Q(subject_id__in=scope.project_ids) | Q(subject_id__in=tokens))
    told = set(alerts.order_by("-id").values_list("subject_id", "window")[:MOST_ALERTS])
    if not told:
        return []
    ids = {subject_id for subject_id, _ in told}
    projects, alive = Project.objects.in_bulk(ids), AccessToken.objects.filter(is_active=True).in_bulk(ids)
    subjects: dict[object, Project | AccessToken] = {**projects, **alive}
    found = [
        (subjects[subject_id], Window(window))
        for subject_id, window in told
        if subject_id in subjects and _limit(subjects[subject_id], Window(window))
    ]
    budgets = _with_spent(found, now)
    return sorted(budgets, key=lambda budget: (-budget.percent, str(budget.subject)))[:COUNT]


def _with_spent(found: list[tuple[Project | AccessToken, Window]], now: datetime) -> list[Budget]:
    if not found:
        return []
    spent = spent_by({subject.pk for subject, _ in found}, {window for _, window in found}, _ms(now))
    return [
        Budget(subject, window, spent[subject.pk][window], _limit(subject, window) or 1)
        for subject, window in found
    ]


def _limit(subject: Project | AccessToken, window: Window) -> int | None:
    return Limits.of(subject).budgets[WINDOWS.index(window)]


def _ms(now: datetime) -> int:
    return int(now.timestamp() * 1000)
