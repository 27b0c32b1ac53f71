"""A month of an imagined team, for pictures: projects, tokens, people, requests with their sums, the audit.

The same each time, but for when it is: it ends now. Written by the functions that write the real thing.
"""

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from unittest import mock

from django.contrib.auth.models import User
from django.utils import timezone
from uuid_utils.compat import uuid7

from audit.models import AuditEvent
from projects import lifecycle as projects
from projects.access import OPERATOR, VIEWER
from projects.models import Project, UpstreamKey
from tests.factories import UserFactory
from tokens import lifecycle as tokens
from tokens.models import AccessToken
from usage.batches import write_batch
from usage.costs import cost_of
from usage.entry import UsageEntry
from usage.models import UsageRecord
from usage.outcomes import CostSource, Outcome, UsageSource
from usage.price_book import PriceBook

BY = "user:admin"
DAYS = 30
BATCH = 500
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CHAT, EMBEDDINGS, RESPONSES = "/chat/completions", "/embeddings", "/responses"


@dataclass(frozen=True, slots=True)
class Habit:
    """How a token is used."""

    model: str
    endpoint: str
    requests_an_hour: float
    """At noon of a working day."""
    input_tokens: int
    output_tokens: int
    is_of_people: bool = True
    """They sleep, and have weekends."""


@dataclass(frozen=True, slots=True)
class Used:
    token: AccessToken
    habit: Habit


ASSISTANT = Habit("gpt-4o-2024-08-06", CHAT, 9.0, 9600, 620)
SEARCH = Habit("text-embedding-3-small", EMBEDDINGS, 14.0, 1900, 0, is_of_people=False)
SUPPORT = Habit("gpt-4o-mini-2024-07-18", CHAT, 16.0, 4500, 340)
NIGHTLY = Habit("gpt-4.1-mini-2025-04-14", RESPONSES, 2.0, 26000, 1200, is_of_people=False)
NOTEBOOK = Habit("gpt-4.1-2025-04-14", RESPONSES, 2.0, 24000, 2100)
TRIAL = Habit("house-model-7b", CHAT, 1.0, 1800, 300)


class Team:
    """`plain`: the plain text of a token that may still ask."""

    def __init__(self, admin: User) -> None:
        self.now = timezone.now()
        self.admin = admin
        self.plain: dict[str, str] = {}
        self._random = random.Random(7)  # noqa: S311 (the same each time)
        self._prices = PriceBook()

    def work(self) -> None:
        with self._at(DAYS + 1):
            self._found()
        entries = sorted(self._requests(), key=lambda entry: entry.started_at)
        for first in range(0, len(entries), BATCH):
            write_batch(entries[first : first + BATCH])
        self._live_on()
        self._set_budgets()

    def _found(self) -> None:
        self.shop = self._project("shop", "1f3a", max_requests_per_minute=600)
        self.search = self._project("search", "77c0")
        self.support = self._project("support-bot", "90be")
        self.research = self._project("research", "e5d2", rules={"models": ["gpt-4*"], "shadow": ["models"]})
        projects.add_upstream_key(
            self.shop, "sk-shop-second-key-0000-4b1e", name="second", weight=2, actor=BY
        )
        for name, role in (("on-call", OPERATOR), ("finance", VIEWER)):
            person = UserFactory.create(username=name, role=role)
            for project in (self.shop, self.support):
                projects.add_member(project, person, actor=BY)

        self.used = [
            Used(self._token(self.shop, "checkout-assistant", 40, idle_ttl=7 * DAY), ASSISTANT),
            Used(self._token(self.search, "indexer", 31.6), SEARCH),
            Used(self._token(self.support, "support-widget", 45, max_requests=8000), SUPPORT),
            Used(self._token(self.support, "nightly-summary", 32, max_requests_per_minute=30), NIGHTLY),
            Used(self._token(self.research, "notebook", 60, idle_ttl=2 * DAY), NOTEBOOK),
            Used(self._token(self.research, "house-model trial", 60), TRIAL),
        ]

    def _project(self, name: str, last: str, **fields: Any) -> Project:
        key = f"sk-{name}-upstream-key-0000-{last}"
        return projects.create_project(name=name, upstream_key=key, actor=BY, **fields)

    def _token(self, project: Project, name: str, days: float, **fields: Any) -> AccessToken:
        token, self.plain[name] = tokens.issue(
            project, ttl=days * DAY, name=name, actor=BY, now=timezone.now(), **fields
        )
        return token

    def _requests(self) -> Iterator[UsageEntry]:
        for hours_ago in range(DAYS * 24, -1, -1):
            hour = (self.now - hours_ago * HOUR).replace(minute=0, second=0, microsecond=0)
            for used in self.used:
                expected = used.habit.requests_an_hour * _share(used.habit, hour, hours_ago)
                for _ in range(self._count(expected)):
                    began_at = hour.timestamp() + self._random.uniform(0, 3600)
                    if began_at < self.now.timestamp() - 60:
                        yield self._request(used, began_at)

    def _count(self, expected: float) -> int:
        """About so many: of a Poisson distribution."""
        count, product, bound = 0, self._random.random(), math.exp(-expected)
        while product > bound:
            count += 1
            product *= self._random.random()
        return count

    def _request(self, used: Used, began_at: float) -> UsageEntry:
        token, habit = used.token, used.habit
        entry = UsageEntry(
            id=uuid7(),
            started_at=began_at,
            method="POST",
            path=f"/v1{habit.endpoint}",
            endpoint=habit.endpoint,
            project_id=token.project_id,
            token_id=token.id,
            model=habit.model,
            attempts=1,
            request_bytes=habit.input_tokens * 4,
        )
        fate = self._random.random()
        if fate < 0.012:
            entry.outcome, entry.status, entry.attempts = Outcome.REFUSED, 429, 0
            entry.error_code = "rate_limit_exceeded"
            entry.duration_seconds = 0.001
            return entry
        entry.is_admitted = True
        if fate < 0.018:
            entry.outcome, entry.status, entry.error_code = Outcome.UPSTREAM_FAILED, 504, "upstream_timeout"
            entry.duration_seconds = 30.0
            return entry
        entry.upstream_request_id = f"req_{self._random.getrandbits(64):016x}"
        entry.first_byte_seconds = self._random.lognormvariate(-0.7, 0.4)
        entry.upstream_processing_seconds = entry.first_byte_seconds * 0.93
        entry.outcome, entry.status = Outcome.COMPLETED, 500 if fate < 0.025 else 200
        if entry.status == 500:
            entry.duration_seconds = entry.first_byte_seconds + 0.001
            return entry
        self._answer(entry, habit)
        if fate > 0.99:
            entry.outcome = Outcome.CLIENT_CLOSED
        return entry

    def _answer(self, entry: UsageEntry, habit: Habit) -> None:
        entry.is_stream = habit.output_tokens > 0
        entry.usage_source = UsageSource.UPSTREAM
        entry.input_tokens = round(habit.input_tokens * self._random.lognormvariate(0, 0.5))
        entry.output_tokens = round(habit.output_tokens * self._random.lognormvariate(0, 0.5))
        entry.cached_tokens = entry.input_tokens // 3 if self._random.random() < 0.4 else 0
        entry.duration_seconds = (entry.first_byte_seconds or 0) + entry.output_tokens / 90
        entry.response_bytes = 200 + entry.output_tokens * 180
        price = self._prices.find(habit.model)
        if price is None:
            entry.cost_source, entry.cost_microusd = CostSource.UNPRICED, None
            entry.shadow_refusals = "model_not_allowed"
        else:
            entry.cost_source, entry.cost_microusd = CostSource.PRICE, cost_of(entry, price, None)

    def _set_budgets(self) -> None:
        """Near what is spent, and one more request of each, which raises the alerts."""
        today = self.now.replace(hour=0, minute=0, second=0, microsecond=0)
        month, week = today.replace(day=1), today - today.weekday() * DAY
        with self._at(0.2):
            monthly = self._spent(self.shop, month) * 100 // 91
            projects.update_project(self.shop, monthly_budget_microusd=monthly, actor=BY)
            weekly = self._spent(self.support, week) * 100 // 84
            projects.update_project(self.support, weekly_budget_microusd=weekly, actor=BY)
            projects.update_project(self.research, total_budget_microusd=400_000_000, actor=BY)
        with self._at(0.01):
            write_batch([self._request(used, self.now.timestamp() - 30) for used in self.used])

    def _spent(self, project: Project, since: datetime) -> int:
        """In micro-USD; never nothing."""
        costs = UsageRecord.objects.filter(project=project, started_at__gte=since, cost_microusd__gt=0)
        return sum(costs.values_list("cost_microusd", flat=True)) or 1_000_000

    def _live_on(self) -> None:
        """What has happened lately: some is issued, rotated, revoked, switched off, and a key fails."""
        with self._at(6):
            self._token(self.shop, "recommendations", 6.3, max_concurrent_requests=4)
            old = self._project("old-site", "0c3d")
            self._token(old, "frontend", 30)
        with self._at(2.1):
            leaked = self._token(self.support, "load-test", 7)
            self._token(self.search, "reindex-october", 2)
        with self._at(1.2):
            tokens.revoke(leaked, actor="user:on-call", now=timezone.now())
            projects.set_project_active(old, False, actor=BY, now=timezone.now())
        with self._at(0.3):
            self._token(self.shop, "ci-4711", 0.8, max_requests=200, total_budget_microusd=1_000_000)
            tokens.rotate(self.used[0].token, grace=DAY, actor="user:on-call", now=timezone.now())
        UpstreamKey.objects.filter(name="second").update(
            last_failure_code="rate_limit_exceeded", last_failed_at=self.now - 2 * HOUR
        )

    @contextmanager
    def _at(self, days_ago: float) -> Iterator[None]:
        """Meanwhile it was then."""
        then = self.now - days_ago * DAY
        with (
            mock.patch.object(timezone, "now", return_value=then),
            mock.patch("audit.trail.AuditEvent", partial(AuditEvent, occurred_at=then)),
        ):
            yield


def _share(habit: Habit, hour: datetime, hours_ago: int) -> float:
    """Of its noon of a working day: people sleep and have weekends; and the team grows."""
    growth = 1 - 0.45 * hours_ago / (DAYS * 24)
    if not habit.is_of_people:
        return growth
    weekday = 0.3 if hour.weekday() >= 5 else 1.0
    daytime = math.exp(-(((hour.hour - 13) / 5) ** 2))
    return growth * weekday * (0.06 + 0.94 * daytime)
