from base64 import urlsafe_b64encode
from datetime import timedelta

import pytest
from django.utils import timezone

from tests.factories import AccessTokenFactory, ProjectFactory, UsageRecordFactory
from tests.management import Manager, refusal

pytestmark = pytest.mark.django_db


def test_pages_hold_every_row_once_the_newest_first(ada: Manager) -> None:
    token = AccessTokenFactory()
    now = timezone.now()
    same_instant = [UsageRecordFactory(token=token, started_at=now) for _ in range(3)]
    older = [UsageRecordFactory(token=token, started_at=now - timedelta(seconds=n)) for n in (1, 2)]

    seen, query = [], {"limit": 2}
    while True:
        page = ada.ask("/usage", **query)
        seen += [each["id"] for each in page["data"]]
        if not page["has_more"]:
            break
        UsageRecordFactory(token=token, started_at=now + timedelta(hours=1))  # what comes meanwhile
        query["cursor"] = page["next_cursor"]
    expected = [*sorted((str(each.id) for each in same_instant), reverse=True), *(str(e.id) for e in older)]
    assert seen == expected
    assert page["next_cursor"] is None


def test_a_page_has_50_rows_if_nothing_else_is_said(ada: Manager) -> None:
    for _ in range(51):
        ProjectFactory(upstream_key=None)
    page = ada.ask("/projects")
    assert (len(page["data"]), page["has_more"], page["object"]) == (50, True, "list")


@pytest.mark.parametrize("limit", ["0", "501", "x"])
def test_a_page_has_1_to_500_rows(ada: Manager, limit: str) -> None:
    assert refusal(ada.call("GET", f"/projects?limit={limit}")) == (422, "invalid_value", "limit")


@pytest.mark.parametrize(
    "cursor", ["x", "%00", "é", urlsafe_b64encode(b"2026-01-01T00:00:00 5").decode(), "a" * 201]
)
def test_what_is_no_cursor_is_refused(ada: Manager, cursor: str) -> None:
    assert refusal(ada.call("GET", f"/usage?cursor={cursor}")) == (422, "invalid_value", "cursor")
