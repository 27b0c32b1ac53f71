"""The admin's first page."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from uuid_utils.compat import uuid7

from projects.access import VIEWER
from projects.models import Project, UpstreamKey
from proxy.breaker import State
from proxy.runtime import Runtime
from proxy.upstreams import BreakerState
from tests.factories import AccessTokenFactory, ProjectFactory, UserFactory, usage_entry
from tokens.models import AccessToken
from usage.batches import write_batch
from usage.outcomes import CostSource, Outcome

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(client: Client) -> Client:
    client.force_login(UserFactory(superuser=True, username="ada"))
    return client


def used(token: AccessToken, count: int = 1, **fields: Any) -> None:
    """Requests of this token, as the ledger's writer adds them to the sums."""
    values = {
        "model": "gpt-4o",
        "status": 200,
        "input_tokens": 1000,
        "output_tokens": 500,
        "cost_source": CostSource.PRICE,
        "cost_microusd": 250_000,
        "duration_seconds": 2.0,
        "first_byte_seconds": 0.5,
    }
    write_batch([usage_entry(token, **(values | fields)) for _ in range(count)])


def contents(client: Client, over: str = "24h") -> dict[str, Any]:
    found: dict[str, Any] = client.get("/admin/", {"over": over}).context["dashboard"]
    return found


def tiles(client: Client, over: str = "24h") -> dict[str, str]:
    return {tile.name: tile.value for tile in contents(client, over)["summary"].tiles}


@contextmanager
def data_plane(monkeypatch: pytest.MonkeyPatch, *states: BreakerState) -> Iterator[None]:
    """As if it ran in this process, with these breakers."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    upstreams = SimpleNamespace(snapshot=lambda: list(states))
    monkeypatch.setattr(Runtime, "_current", SimpleNamespace(loop=loop, upstreams=upstreams))
    yield
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_it_says_what_is_spent_what_fails_and_how_long_it_takes(ada: Client) -> None:
    token = AccessTokenFactory(name="laptop")
    used(token, 8)
    used(token, 2, outcome=Outcome.REFUSED, status=429, cost_source=CostSource.FREE, cost_microusd=0)
    assert tiles(ada) == {
        "Requests": "10",
        "Errors": "2",
        "Model tokens": "15k",
        "Cost": "$2.00",
        "Latency": "1.9 s",
        "First byte": "470 ms",  # the middle of its bucket
    }


@pytest.mark.parametrize(
    ("over", "requests"), [("1h", "1"), ("24h", "2"), ("7d", "3"), ("30d", "4"), ("x", "2")]
)
def test_it_shows_the_length_of_time_that_is_chosen(ada: Client, over: str, requests: str) -> None:
    token, now = AccessTokenFactory(), timezone.now()
    for ago in (timedelta(0), timedelta(hours=20), timedelta(days=5), timedelta(days=20)):
        used(token, started_at=(now - ago).timestamp())
    assert tiles(ada, over)["Requests"] == requests


def test_it_names_who_uses_the_most(ada: Client) -> None:
    small, large = AccessTokenFactory(name="small"), AccessTokenFactory(name="large")
    used(small)
    used(large, 2, model="o3")
    projects, tokens, models = contents(ada)["rankings"]
    assert [row.name for row in projects.rows] == [str(large.project), str(small.project)]
    assert [(row.name, row.cells) for row in tokens.rows] == [
        ("large", ["2", "3k", "$0.50"]),
        ("small", ["1", "1.5k", "$0.25"]),
    ]
    assert [row.name for row in models.rows] == ["o3", "gpt-4o"]


def test_it_names_what_has_no_price_and_what_would_have_been_refused(ada: Client) -> None:
    token = AccessTokenFactory()
    used(token, 3, model="mine", cost_source=CostSource.UNPRICED, cost_microusd=None)
    used(token, shadow_refusals="model_not_allowed")
    unpriced, shadowed = contents(ada)["troubles"]
    assert [(row.name, row.cells) for row in unpriced.rows] == [("mine", ["3"])]
    assert [(row.name, row.cells) for row in shadowed.rows] == [(str(token.project), ["1"])]
    assert f"project__id__exact={token.project_id}" in shadowed.rows[0].url
    assert ada.get(shadowed.rows[0].url).status_code == 200


def test_it_warns_of_budgets_that_are_nearly_used_up(ada: Client) -> None:
    project = ProjectFactory(name="shop", monthly_budget_microusd=1_000_000)
    used(AccessTokenFactory(project=project), 3)
    assert contents(ada)["budgets"] == []
    used(AccessTokenFactory(project=project))
    (budget,) = contents(ada)["budgets"]
    assert (budget.subject, budget.window, budget.text) == (project, "monthly", "$1.00 of $1.00 (100 %)")
    Project.objects.filter(pk=project.pk).update(monthly_budget_microusd=None)
    assert contents(ada)["budgets"] == []


def test_it_warns_of_tokens_that_expire_within_a_day(ada: Client) -> None:
    week = timedelta(days=7)
    soon = AccessTokenFactory(ttl=week, expires_at=timezone.now() + timedelta(hours=3, minutes=1))
    AccessTokenFactory(ttl=week, expires_at=timezone.now() + timedelta(hours=3), is_active=False)
    AccessTokenFactory(ttl=week)
    AccessTokenFactory(ttl=timedelta(minutes=15))
    assert contents(ada)["expiring"] == [(soon, "3 h")]


def test_it_shows_breakers_and_keys_that_rest(ada: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    key = UpstreamKey.objects.get(project=ProjectFactory(name="shop"))
    states = [
        BreakerState("https://a.example/v1", None, State.CLOSED, 5, 1),
        BreakerState("https://a.example/v1", key.pk, State.OPEN, 0, 9),
        BreakerState("https://a.example/v1", uuid7(), State.CLOSED, 1, 0),
    ]
    with data_plane(monkeypatch, *states):
        health = contents(ada)["health"]
        html = ada.get("/admin/").content.decode()
    assert [(line.name, line.state) for line in health.upstreams] == [("https://a.example/v1", "closed")]
    assert [(line.name, line.state) for line in health.keys] == [(f"shop {key}", "open")]
    assert '<span class="badge bad">open</span>' in html
    rests_until = timezone.now() + timedelta(minutes=5)
    UpstreamKey.objects.update(
        last_failure_code="invalid_api_key", last_failed_at=timezone.now(), cooling_until=rests_until
    )
    (line,) = contents(ada)["health"].keys
    assert (line.state, line.look) == ("rests", "bad")
    assert "invalid_api_key" in line.note


def test_it_says_when_there_is_nothing_to_say_of_upstreams(
    ada: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    ProjectFactory()
    with data_plane(monkeypatch):
        html = ada.get("/admin/").content.decode()
    assert "None was asked just now, and no key has failed within a day." in html


def test_members_see_their_projects_only(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    budget = {"daily_budget_microusd": 1_000_000}
    mine, other = ProjectFactory(name="mine", **budget), ProjectFactory(name="other", **budget)
    client.force_login(UserFactory(role=VIEWER, projects=[mine]))
    for project in (mine, other):
        expiring = AccessTokenFactory(
            project=project,
            name=f"token of {project}",
            ttl=timedelta(days=7),
            expires_at=timezone.now() + timedelta(hours=1),
        )
        used(expiring, 4, model=f"model of {project}", shadow_refusals="x")
        used(expiring, model=f"unpriced of {project}", cost_source=CostSource.UNPRICED, cost_microusd=None)
    states = [
        BreakerState(f"https://{key.project}.example", key_id, State.OPEN, 0, 1)
        for key in UpstreamKey.objects.all()
        for key_id in (None, key.pk)
    ]
    with data_plane(monkeypatch, *states):
        html = client.get("/admin/").content.decode()
        found = contents(client)
    assert tiles(client)["Requests"] == "5"
    for shown in ("token of mine", "model of mine", "unpriced of mine", "mine.example"):
        assert shown in html
    assert "other" not in html
    assert [budget.subject for budget in found["budgets"]] == [mine]
    assert len(found["expiring"]) == 1


def test_who_may_see_nothing_sees_an_empty_page(client: Client) -> None:
    client.force_login(UserFactory(is_staff=True))
    used(AccessTokenFactory(name="laptop"))
    assert contents(client) == {}
    assert "laptop" not in client.get("/admin/").content.decode()


def test_names_cannot_be_markup(ada: Client) -> None:
    project = ProjectFactory(name="<script>alert(1)</script>", daily_budget_microusd=1_000_000)
    token = AccessTokenFactory(project=project, name="<img src=x onerror=alert(1)>")
    used(token, 4, model="<svg onload=alert(1)>", shadow_refusals="x")
    html = ada.get("/admin/").content.decode()
    assert "<script>alert" not in html
    assert "<img src=x" not in html
    assert "<svg onload" not in html
    assert "&lt;img src=x onerror=alert(1)&gt;" in html


def test_the_number_of_queries_does_not_grow(ada: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert ada.get("/admin/", {"over": "30d"}).status_code == 200
        return len(captured)

    def make(number: int) -> None:
        project = ProjectFactory(daily_budget_microusd=1_000_000)
        token = AccessTokenFactory(project=project, daily_budget_microusd=1_000_000, ttl=timedelta(hours=24))
        started_at = (timezone.now() - timedelta(days=number % 20)).timestamp()
        used(token, 4, model=f"model {number}", shadow_refusals="x")
        used(
            token,
            model=f"model {number}",
            cost_source=CostSource.UNPRICED,
            cost_microusd=None,
            started_at=started_at,
        )

    make(0)
    few = queries()
    for number in range(12):
        make(number)
    assert queries() == few
    assert few <= 25
