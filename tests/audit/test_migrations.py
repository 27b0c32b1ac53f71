from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from audit import trail
from audit.chain import verify
from audit.models import AuditEvent


@pytest.fixture
def old_event(transactional_db: None) -> Iterator[Any]:
    """The model of a trail that is no chain yet. Afterwards the database is as new as it was."""
    executor = MigrationExecutor(connection)
    executor.migrate([("audit", "0002_origin")])
    yield executor.loader.project_state(("audit", "0002_origin")).apps.get_model("audit", "AuditEvent")
    migrate_to_the_newest()


def migrate_to_the_newest() -> None:
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


def test_events_that_are_there_become_a_chain_which_goes_on(old_event: Any) -> None:
    for number in (2, 1, 3):
        event = old_event.objects.create(
            actor="user:ada", action="thing.done", subject_type="thing", subject_name=f"{number}"
        )
        old_event.objects.filter(pk=event.pk).update(occurred_at=datetime(2025, 6, number, tzinfo=UTC))

    migrate_to_the_newest()
    trail.record_act("thing.done", "thing", actor="user:ada", subject_name="4")

    names = AuditEvent.objects.order_by("sequence").values_list("sequence", "subject_name")
    assert list(names) == [(1, "1"), (2, "2"), (3, "3"), (4, "4")]
    assert str(verify()) == "Chain verified: 4 events."
