from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from projects.access import ADMIN, VIEWER
from tests.factories import AccessTokenFactory, UsageRecordFactory
from tests.management import Manager, refusal
from tokens.models import AccessToken
from usage.models import ModelPrice, UsageRecord
from usage.outcomes import CostSource, Outcome
from usage.rebuilding import rebuild

pytestmark = pytest.mark.django_db(transaction=connection.vendor == "mysql")  # what rebuilds has its own
NOON = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
"""In a span of which the tests ask."""
DAY = {"since": "2026-03-04T00:00:00Z", "until": "2026-03-05T00:00:00Z"}


@pytest.fixture
def ada() -> Manager:
    return Manager.of_superuser()


def used(token: AccessToken, *, cost: int = 1_000_000, **fields: Any) -> UsageRecord:
    values = {"started_at": NOON, "cost_source": CostSource.PRICE, "cost_microusd": cost}
    return UsageRecordFactory(token=token, **(values | fields))


def test_requests_are_listed_the_newest_first_and_shown(ada: Manager) -> None:
    token = AccessTokenFactory()
    older, newer = used(token), used(token, started_at=NOON + timedelta(hours=1), cost=1500)
    assert [each["id"] for each in ada.ask("/usage")["data"]] == [str(newer.id), str(older.id)]
    shown = ada.ask(f"/usage/{newer.id}")
    assert (shown["model"], shown["outcome"], shown["cost_usd"]) == ("gpt-4o-mini", "completed", "0.0015")


def test_requests_are_filtered(ada: Manager) -> None:
    record = used(AccessTokenFactory(), model="gpt-4o", outcome=Outcome.CUT, error_code="budget_exceeded")
    used(AccessTokenFactory(), started_at=NOON - timedelta(days=2))
    for query in (
        {"project_id": record.project_id},
        {"token_id": record.token_id},
        {"model": "gpt-4o"},
        {"outcome": "cut"},
        {"error_code": "budget_exceeded"},
        DAY,
    ):
        assert [each["id"] for each in ada.ask("/usage", **query)["data"]] == [str(record.id)], query
    assert refusal(ada.call("GET", "/usage?outcome=good")) == (422, "invalid_value", "outcome")


@pytest.mark.parametrize("group_by", ["project", "token", "model", "hour", "day"])
def test_usage_is_summed_up(ada: Manager, group_by: str) -> None:
    token = AccessTokenFactory(name="ci")
    used(token, model="gpt-4o", cost=2_000_000)
    used(token, model="gpt-4o")
    used(AccessTokenFactory(), model="gpt-4o-mini", cost=500_000, started_at=NOON + timedelta(hours=2))
    rebuild()

    summary = ada.ask("/usage/summary", group_by=group_by, **DAY)
    assert (summary["total"]["requests"], summary["total"]["cost_usd"]) == (3, "3.50")
    assert (summary["since"], summary["until"]) == ("2026-03-04T00:00:00+00:00", "2026-03-05T00:00:00+00:00")
    groups = {each["key"]: each["cost_usd"] for each in summary["data"] if each["requests"]}
    first = {
        "project": str(token.project_id),
        "token": str(token.id),
        "model": "gpt-4o",
        "hour": "2026-03-04T12:00:00+00:00",
        "day": "2026-03-04T00:00:00+00:00",
    }[group_by]
    assert groups[first] == ("3.50" if group_by == "day" else "3.00")
    assert len(summary["data"]) == {"hour": 24, "day": 1}.get(group_by, 2)
    if group_by == "token":
        assert summary["data"][0]["name"] == "ci"


def test_a_summary_is_of_one_project_or_token(ada: Manager) -> None:
    token = AccessTokenFactory()
    used(token)
    used(AccessTokenFactory())
    rebuild()
    for query in ({"project_id": token.project_id}, {"token_id": token.id}):
        assert ada.ask("/usage/summary", **query, **DAY)["total"]["requests"] == 1
    refused = ada.call("GET", f"/usage/summary?group_by=model&token_id={token.id}")
    assert refusal(refused) == (422, "invalid_value", "group_by")


def test_a_summary_is_of_the_last_24_hours_if_nothing_else_is_said(ada: Manager) -> None:
    used(AccessTokenFactory(), started_at=timezone.now())
    used(AccessTokenFactory(), started_at=timezone.now() - timedelta(days=3))
    rebuild()
    assert ada.ask("/usage/summary", group_by="model")["total"]["requests"] == 1
    assert ada.ask("/usage/summary", group_by="model", last="7d")["total"]["requests"] == 2


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("since=2026-03-05T00:00:00Z&until=2026-03-04T00:00:00Z", "since"),
        ("since=2026-03-05T00:00:00", "since"),
        ("last=1d&since=2026-03-05T00:00:00Z", "last"),
        ("last=99999w", "last"),
        ("last=60d&group_by=hour", "since"),
        ("group_by=week", "group_by"),
    ],
)
def test_a_span_that_makes_no_sense_is_refused(ada: Manager, query: str, param: str) -> None:
    assert refusal(ada.call("GET", f"/usage/summary?{query}")) == (422, "invalid_value", param)


def test_members_see_the_usage_of_their_projects() -> None:
    token = AccessTokenFactory()
    mine, foreign = used(token), used(AccessTokenFactory())
    rebuild()
    linus = Manager.with_role(VIEWER, token.project)

    assert [each["id"] for each in linus.ask("/usage")["data"]] == [str(mine.id)]
    assert refusal(linus.call("GET", f"/usage/{foreign.id}")) == (404, "not_found", None)
    for group_by in ("project", "token", "model", "hour", "day"):
        summary = linus.ask("/usage/summary", group_by=group_by, **DAY)
        assert (summary["total"]["requests"], sum(each["requests"] for each in summary["data"])) == (1, 1)
    foreign_sums = linus.ask("/usage/summary", project_id=foreign.project_id, **DAY)
    assert foreign_sums["total"]["requests"] == 0


def test_a_price_is_set_shown_and_removed(ada: Manager) -> None:
    price = {"input_price": "2.50", "output_price": "10", "context_window": 1000}
    assert ada.do("PUT", "/prices/org/my-model-*", price)["input_price"] == "2.50"
    assert ada.ask("/prices")["data"][0]["model"] == "org/my-model-*"
    holding = ada.ask("/prices", model=["org/my-model-1", "gpt-4o-mini", "nobody-knows"])["data"]
    assert [each["source"] for each in holding] == ["override", "genai-prices", "none"]

    assert ada.do("DELETE", "/prices/org/my-model-*")["model"] == "org/my-model-*"
    assert not ModelPrice.objects.exists()
    assert refusal(ada.call("DELETE", "/prices/org/my-model-*")) == (404, "not_found", None)


@pytest.mark.parametrize("price", ["-1", "NaN", "1e9", "a lot", 2.5, "0.0000001"])
def test_what_is_no_price_is_refused(ada: Manager, price: object) -> None:
    refused = ada.call("PUT", "/prices/m", {"input_price": price, "output_price": "1"})
    assert refusal(refused) == (422, "invalid_value", "input_price")


def test_only_admins_set_prices() -> None:
    body = {"input_price": "1", "output_price": "1"}
    refused = Manager.with_role(VIEWER).call("PUT", "/prices/m", body)
    assert refusal(refused) == (403, "not_permitted", None)
    assert Manager.with_role(ADMIN).call("PUT", "/prices/m", body).status_code == 200


@pytest.mark.parametrize(
    "since", ["1772582400", "2026-03-04", "0001-01-01T00:00:00%2B05:00", "9999-12-31T00:00:00Z"]
)
def test_what_is_no_instant_is_refused(ada: Manager, since: str) -> None:
    for path in ("/usage", "/usage/summary"):
        assert refusal(ada.call("GET", f"{path}?since={since}")) == (422, "invalid_value", "since")


def test_a_filter_with_a_typing_error_finds_nothing(ada: Manager) -> None:
    used(AccessTokenFactory())
    refused = ada.call("GET", "/usage?projct_id=1")
    assert refusal(refused) == (422, "invalid_value", None)


@pytest.mark.parametrize("group_by", ["hour", "day", "project", "model", "token"])
def test_a_summary_tells_percentiles_of_what_upstream_answered(ada: Manager, group_by: str) -> None:
    token = AccessTokenFactory()
    for seconds in (0.1, 0.2, 0.2, 8.0):
        used(token, duration_seconds=seconds, first_byte_seconds=seconds / 4)
    used(token, outcome=Outcome.REFUSED, status=429, duration_seconds=0.001)
    used(AccessTokenFactory(), started_at=NOON + timedelta(hours=2), duration_seconds=60.0)
    rebuild()

    summary = ada.ask("/usage/summary", group_by=group_by, project_id=token.project_id, **DAY)
    latency = summary["latency"]
    assert latency["requests"] == 4
    for name, seconds in (
        ("duration_p50_seconds", 0.2),
        ("duration_p95_seconds", 8.0),
        ("first_byte_p50_seconds", 0.05),
        ("first_byte_p95_seconds", 2.0),
    ):
        assert latency[name] == pytest.approx(seconds, rel=0.09), name
    groups = {each["key"]: each["latency"] for each in summary["data"]}
    if group_by == "day":
        assert list(groups.values()) == [latency]
    elif group_by == "hour":
        nothing = {**dict.fromkeys(latency), "requests": 0}
        assert groups.pop("2026-03-04T12:00:00+00:00") == latency
        assert list(groups.values()) == [nothing] * 23
    else:
        assert set(groups.values()) == {None}


def test_a_summary_of_one_token_tells_no_percentiles(ada: Manager) -> None:
    token = AccessTokenFactory()
    used(token)
    rebuild()
    summary = ada.ask("/usage/summary", token_id=token.id, **DAY)
    assert (summary["latency"], summary["data"][0]["latency"]) == (None, None)
