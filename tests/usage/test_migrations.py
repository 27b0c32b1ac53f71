from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from uuid_utils.compat import uuid7

from usage.models import DailySpend, UsageRecord

PROJECT, TOKEN, OTHER_TOKEN = (uuid7() for _ in range(3))


@pytest.fixture
def old_record(transactional_db: None) -> Iterator[Any]:
    """The model of a ledger that knows no costs yet. Afterwards the database is as new as it was."""
    executor = MigrationExecutor(connection)
    executor.migrate([("usage", "0001_initial")])
    yield executor.loader.project_state(("usage", "0001_initial")).apps.get_model("usage", "UsageRecord")
    migrate_to_the_newest()


def migrate_to_the_newest() -> None:
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


def write(
    old_record: Any,
    token_id: UUID,
    started_at: datetime,
    *,
    is_admitted: bool = True,
    method: str = "POST",
    status: int = 200,
) -> None:
    old_record.objects.create(
        project_id=PROJECT,
        token_id=token_id,
        started_at=started_at,
        method=method,
        status=status,
        path="/v1/chat/completions",
        outcome="completed",
        is_admitted=is_admitted,
        duration_seconds=0.5,
    )


def test_ledger_that_was_written_before_there_were_sums_is_summed_by_subject_and_day(old_record: Any) -> None:
    write(old_record, TOKEN, datetime(2025, 6, 1, tzinfo=UTC))
    write(old_record, TOKEN, datetime(2025, 6, 1, 23, 59, 59, 999_999, tzinfo=UTC))
    write(old_record, TOKEN, datetime(2025, 6, 2, tzinfo=UTC))
    write(old_record, TOKEN, datetime(2025, 6, 3, tzinfo=UTC), is_admitted=False)
    write(old_record, OTHER_TOKEN, datetime(2025, 6, 1, 12, tzinfo=UTC))

    migrate_to_the_newest()

    days = DailySpend.objects.values_list("subject_id", "day", "requests", "cost_microusd")
    assert set(days) == {
        (TOKEN, date(2025, 6, 1), 2, 0),
        (TOKEN, date(2025, 6, 2), 1, 0),
        (OTHER_TOKEN, date(2025, 6, 1), 1, 0),
        (PROJECT, date(2025, 6, 1), 3, 0),
        (PROJECT, date(2025, 6, 2), 1, 0),
    }


def test_what_old_requests_cost_is_unknown(old_record: Any) -> None:
    write(old_record, TOKEN, datetime(2025, 6, 1, tzinfo=UTC))
    migrate_to_the_newest()
    assert UsageRecord.objects.values_list("cost_source", "cost_microusd").get() == ("unpriced", None)


@pytest.mark.parametrize("fields", [{"is_admitted": False}, {"method": "GET"}, {"status": 500}])
def test_old_requests_that_upstream_did_no_work_for_were_free(
    old_record: Any, fields: dict[str, Any]
) -> None:
    write(old_record, TOKEN, datetime(2025, 6, 1, tzinfo=UTC), **fields)
    migrate_to_the_newest()
    assert UsageRecord.objects.values_list("cost_source", "cost_microusd").get() == ("free", 0)


def indexed_columns() -> set[tuple[str, ...]]:
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, UsageRecord._meta.db_table)
    return {tuple(each["columns"]) for each in constraints.values() if each["index"]}


def test_what_begins_an_index_with_the_time_has_none_of_its_own(transactional_db: None) -> None:
    executor = MigrationExecutor(connection)
    executor.migrate([("usage", "0010_captured_bodies")])
    before = indexed_columns()
    migrate_to_the_newest()

    assert before - indexed_columns() == {("project_id",), ("token_id",)}
    assert indexed_columns() >= {("project_id", "started_at"), ("token_id", "started_at")}
