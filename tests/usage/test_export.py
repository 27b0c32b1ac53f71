"""The ledger as CSV."""

import csv
from datetime import timedelta
from io import StringIO

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.factories import AccessTokenFactory, UsageRecordFactory
from usage import export
from usage.models import UsageRecord

pytestmark = pytest.mark.django_db


async def _collect() -> list[bytes]:
    return [piece async for piece in export.export(UsageRecord.objects.all())]


def pieces() -> list[bytes]:
    return async_to_sync(_collect)()


def table() -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(b"".join(pieces()).decode())))


def test_each_request_is_a_row_the_newest_first() -> None:
    old = UsageRecordFactory(
        started_at=timezone.now() - timedelta(hours=1), model="gpt-4o", cost_microusd=None
    )
    new = UsageRecordFactory()
    rows = table()
    assert [row["id"] for row in rows] == [str(new.id), str(old.id)]
    assert (rows[1]["model"], rows[1]["cost_microusd"]) == ("gpt-4o", "")
    assert rows[1]["started_at"] == old.started_at.isoformat()
    assert set(rows[0]) == {field.attname for field in UsageRecord._meta.concrete_fields}


def test_it_is_read_chunk_by_chunk_and_nothing_is_lost_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "CHUNK_ROWS", 2)
    token, now = AccessTokenFactory(), timezone.now()
    for number in range(7):  # some at the same instant
        UsageRecordFactory(token=token, started_at=now - timedelta(seconds=number // 3))
    with CaptureQueriesContext(connection) as queries:
        got = pieces()
    assert len(queries) == 5
    assert [piece.count(b"\r\n") for piece in got] == [1, 2, 2, 2, 1]
    assert len({row["id"] for row in table()}) == 7


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)"])
def test_what_a_spreadsheet_would_run_is_text(name: str) -> None:
    UsageRecordFactory(model=name)
    assert table()[0]["model"] == f"'{name}"
