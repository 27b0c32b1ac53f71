"""The ledger's list in the admin: what it shows, and that it stays fast."""

import csv
from datetime import timedelta
from io import StringIO

import httpx
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from projects.access import VIEWER
from tests.factories import AccessTokenFactory, ProjectFactory, UsageRecordFactory, UserFactory
from tests.live import LiveProxy
from usage import paginator

LIST = reverse("admin:usage_usagerecord_changelist")
EXPORT = reverse("admin:usage_usagerecord_export")


@pytest.fixture
def ada(client: Client, db: None) -> Client:
    client.force_login(UserFactory(superuser=True, username="ada"))
    return client


def test_it_shows_a_day_unless_more_is_asked_for(ada: Client) -> None:
    for name, ago in (("new", timedelta(0)), ("older", timedelta(days=3)), ("oldest", timedelta(days=300))):
        UsageRecordFactory(model=f"model-{name}", started_at=timezone.now() - ago)
    shown = {
        over: [
            name
            for name in ("new", "older", "oldest")
            if f"model-{name}" in ada.get(LIST, query).content.decode()
        ]
        for over, query in (("", {}), ("7d", {"over": "7d"}), ("all", {"over": "all"}), ("x", {"over": "x"}))
    }
    assert shown == {"": ["new"], "7d": ["new", "older"], "all": ["new", "older", "oldest"], "x": ["new"]}


def test_a_search_for_an_id_looks_everywhere(ada: Client) -> None:
    record = UsageRecordFactory(model="model-old", started_at=timezone.now() - timedelta(days=300))
    assert "model-old" in ada.get(LIST, {"q": str(record.id)}).content.decode()


def test_no_more_rows_are_counted_than_can_be_turned_to(ada: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paginator, "MOST_ROWS", 3)
    token = AccessTokenFactory()
    for _ in range(5):
        UsageRecordFactory(token=token)
    with CaptureQueriesContext(connection) as queries:
        assert ada.get(LIST).context["cl"].result_count == 3
    counts = [query["sql"] for query in queries if "COUNT(" in query["sql"].upper()]
    assert len(counts) == 1
    assert "LIMIT 3" in counts[0]


def test_the_number_of_queries_does_not_grow(ada: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            ada.get(LIST)
        return len(captured)

    UsageRecordFactory()
    few = queries()
    for _ in range(10):
        UsageRecordFactory()
    assert queries() == few <= 12


def test_the_page_of_a_request_has_its_timeline(ada: Client) -> None:
    record = UsageRecordFactory(duration_seconds=2, first_byte_seconds=0.5, upstream_processing_seconds=0.4)
    html = ada.get(reverse("admin:usage_usagerecord_change", args=[record.pk])).content.decode()
    assert '<svg class="timeline"' in html
    assert "the answer passes: 1.5 s" in html


def test_the_list_is_exported_as_it_is_filtered(live: LiveProxy) -> None:
    mine, other = ProjectFactory(), ProjectFactory()
    wanted = UsageRecordFactory(token=AccessTokenFactory(project=mine), model="wanted")
    UsageRecordFactory(token=AccessTokenFactory(project=mine), outcome="refused")
    UsageRecordFactory(token=AccessTokenFactory(project=other))
    client = Client()
    client.force_login(UserFactory(role=VIEWER, projects=[mine]))
    cookies = {name: morsel.value for name, morsel in client.cookies.items()}
    answer = httpx.get(live.url + EXPORT, params={"outcome__exact": "completed"}, cookies=cookies)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="usage.csv"'
    assert [row["id"] for row in csv.DictReader(StringIO(answer.text))] == [str(wanted.id)]


def test_who_may_not_see_usage_exports_nothing(client: Client, db: None) -> None:
    assert client.get(EXPORT).status_code == 302
    client.force_login(UserFactory(is_staff=True))
    assert client.get(EXPORT).status_code == 403


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ({"outcome__exact": "refused"}, "usage_record_by_outcome"),
        ({"cost_source__exact": "unpriced"}, "usage_record_by_cost_source"),
        ({"shadow": "refused"}, "usage_record_shadow_refusals"),
    ],
)
@pytest.mark.skipif(connection.vendor != "sqlite", reason="the plan is SQLite's")
def test_what_is_seldom_is_found_by_an_index_of_its_own(
    ada: Client, query: dict[str, str], index: str
) -> None:
    changes = ada.get(LIST, {**query, "over": "all"}).context["cl"]
    assert index in changes.queryset.explain()


def test_the_usual_outcome_is_found_as_well(ada: Client) -> None:
    for outcome in ("completed", "refused"):
        UsageRecordFactory(outcome=outcome, model=f"model-{outcome}")
    html = ada.get(LIST, {"outcome__exact": "completed"}).content.decode()
    assert "model-completed" in html
    assert "model-refused" not in html


def test_what_shadow_rules_would_have_refused_has_a_column_where_one_looks_for_it(ada: Client) -> None:
    UsageRecordFactory(shadow_refusals="model_not_allowed")
    assert b"model_not_allowed" not in ada.get(LIST).content
    assert b"model_not_allowed" in ada.get(LIST, {"shadow": "refused"}).content
