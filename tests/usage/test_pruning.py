from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management.base import CommandError
from django.db import connection
from django.utils import timezone

from audit.models import AuditEvent
from tests.commands import run, run_json
from tests.factories import AccessTokenFactory, usage_entry
from tokens.models import AccessToken
from usage.batches import write_batch
from usage.marks import UNSUMMED_BEFORE, advance, mark
from usage.models import BackgroundWork, DailySpend, LatencyRollup, ModelRollup, TokenRollup, UsageRecord
from usage.pruning import cutoff, prune

pytestmark = pytest.mark.django_db(transaction=connection.vendor == "mysql")  # what rebuilds has its own
DAY = timedelta(days=1)


@pytest.fixture
def token() -> AccessToken:
    return AccessTokenFactory.create()


def write(token: AccessToken, days_ago: float, **fields: Any) -> Any:
    entry = usage_entry(token, started_at=(timezone.now() - days_ago * DAY).timestamp(), **fields)
    write_batch([entry])
    return entry.id


def test_old_rows_are_deleted_and_what_they_came_to_stays(token: AccessToken) -> None:
    write(token, 100)
    young = write(token, 10)
    sums = list(DailySpend.objects.values_list()), list(ModelRollup.objects.values_list())

    facts = run_json("prune_usage", "--older-than", "90d")

    assert (facts["records"], facts["dry_run"]) == (1, False)
    assert [record.id for record in UsageRecord.objects.all()] == [young]
    assert (list(DailySpend.objects.values_list()), list(ModelRollup.objects.values_list())) == sums
    assert AuditEvent.objects.get(action="usage.pruned").details["records"] == 1


def test_rows_that_an_older_version_has_written_are_summed_up_before_they_go(token: AccessToken) -> None:
    write(token, 100)
    sums = set(ModelRollup.objects.values_list("period", "requests"))
    for table in (ModelRollup, TokenRollup, LatencyRollup):
        table.objects.all().delete()
    advance(UNSUMMED_BEFORE, timezone.now())

    assert run_json("prune_usage", "--older-than", "90d")["records"] == 1

    assert set(ModelRollup.objects.values_list("period", "requests")) == sums
    assert mark(UNSUMMED_BEFORE) is None


def test_dry_run_only_counts(token: AccessToken) -> None:
    write(token, 100)
    assert "would be deleted: 1;" in run("prune_usage", "--older-than", "90d", "--dry-run")
    assert UsageRecord.objects.count() == 1


def test_work_that_has_not_been_found_finished_is_kept(token: AccessToken) -> None:
    running = write(token, 100, work_id="resp_1", begins_work=True)
    write(token, 100, work_id="resp_2", begins_work=True)
    BackgroundWork.objects.filter(object_id="resp_2").update(finished_at=timezone.now() - 99 * DAY)

    facts = run_json("prune_usage", "--older-than", "90d")

    assert (facts["records"], facts["background_work"]) == (1, 1)
    assert UsageRecord.objects.get().id == running
    assert BackgroundWork.objects.get().object_id == "resp_1"


def test_only_whole_days_are_pruned() -> None:
    now = datetime(2026, 3, 10, 12, 30, tzinfo=UTC)
    assert cutoff(2 * DAY, now) == datetime(2026, 3, 8, tzinfo=UTC)


def test_what_is_younger_than_a_day_cannot_be_pruned() -> None:
    with pytest.raises(CommandError, match="younger than a day"):
        run("prune_usage", "--older-than", "1h")


def test_many_batches_are_pruned_and_it_can_be_stopped_between_them(token: AccessToken) -> None:
    old = (timezone.now() - 100 * DAY).timestamp()
    write_batch([usage_entry(token, started_at=old + number) for number in range(450)])
    before = cutoff(90 * DAY, timezone.now())
    turns = iter([False, True, True])
    stopped = prune(before, actor="system", is_stopping=lambda: next(turns))
    assert stopped.records == 200
    assert prune(before, actor="system").records == 250
    assert not UsageRecord.objects.exists()
