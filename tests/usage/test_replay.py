"""What a process has left in its spool is written by another, once, with all that follows from it."""

from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from structlog.testing import capture_logs

from tests.factories import AccessTokenFactory, usage_entry
from tests.ledgers import assert_sums_are_those_of_the_rows
from tests.live import eventually
from tests.usage.test_ledger import table_away
from tokens.models import AccessToken
from usage import ledger as ledger_module
from usage.daily_spend import DayOfUse
from usage.entry import UsageEntry
from usage.ledger import Ledger, write_batch
from usage.models import BackgroundWork, BudgetAlert, UsageRecord
from usage.outcomes import CostSource
from usage.spool.spool import Spool

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "RETRY_SECONDS", 0.02)
    monkeypatch.setattr(ledger_module, "ADOPT_SECONDS", 0.05)


@pytest.fixture
def token(transactional_db: None) -> AccessToken:
    return AccessTokenFactory.create(total_budget_microusd=100)


class Process:
    """A ledger with a spool, and what it has told."""

    def __init__(self, directory: Path, **options: Any) -> None:
        self.told: list[object] = []
        self.corrected: list[DayOfUse] = []
        self.adopted = 0
        self.spool = Spool(directory, max_bytes=MIB, segment_bytes=2000)
        self.ledger = Ledger(
            batch_seconds=0.01,
            spool=self.spool,
            on_written=self.told.append,
            on_corrected=self.corrected.extend,
            on_adopted=self._adopted,
            **({"max_pending": 100} | options),
        )

    def _adopted(self) -> None:
        self.adopted += 1


def costing(token: AccessToken) -> UsageEntry:
    return usage_entry(token, cost_source=CostSource.PRICE, cost_microusd=9)


def left_behind(directory: Path, *entries: UsageEntry) -> None:
    """By a process that died."""
    spool = Spool(directory, max_bytes=MIB, segment_bytes=2000)
    assert all(map(spool.append, entries))
    spool.close()


def files(directory: Path) -> list[Path]:
    return list(directory.iterdir())


def test_what_was_left_is_written_with_its_sums(tmp_path: Path, token: AccessToken) -> None:
    entries = [costing(token) for _ in range(20)]
    left_behind(tmp_path, *entries)
    process = Process(tmp_path)
    process.ledger.start()
    eventually(lambda: process.adopted)
    assert process.ledger.stop() == 0

    token.refresh_from_db()
    assert token.request_count == UsageRecord.objects.count() == 20
    assert_sums_are_those_of_the_rows()
    assert files(tmp_path) == []
    assert process.told == [], "the limits of this process never counted them in"
    assert sum(day.cost_microusd for day in process.corrected if day.token_id == token.id) == 180


def test_what_is_written_already_moves_nothing_again(tmp_path: Path, token: AccessToken) -> None:
    entries = [costing(token) for _ in range(12)]
    write_batch(entries[:7])
    left_behind(tmp_path, *entries)
    process = Process(tmp_path)
    process.ledger.start()
    eventually(lambda: process.adopted)
    process.ledger.stop()

    token.refresh_from_db()
    assert token.request_count == UsageRecord.objects.count() == 12
    assert_sums_are_those_of_the_rows()
    assert sum(day.cost_microusd for day in process.corrected if day.token_id == token.id) == 5 * 9
    assert BudgetAlert.objects.filter(subject_id=token.id).count() == 2


def test_work_that_goes_on_upstream_is_begun_once(tmp_path: Path, token: AccessToken) -> None:
    begun = usage_entry(token, work_id="resp_1", begins_work=True, cost_source="price", cost_microusd=5)
    write_batch([begun])
    left_behind(tmp_path, begun)
    process = Process(tmp_path)
    process.ledger.start()
    eventually(lambda: process.adopted)
    process.ledger.stop()

    assert BackgroundWork.objects.count() == 1
    assert_sums_are_those_of_the_rows()


def test_a_process_that_dies_while_others_run_is_noticed(tmp_path: Path, token: AccessToken) -> None:
    process = Process(tmp_path)
    process.ledger.start()
    eventually(lambda: process.adopted)
    left_behind(tmp_path, costing(token))
    eventually(lambda: UsageRecord.objects.count() == 1)
    process.ledger.stop()

    assert (process.adopted, files(tmp_path)) == (1, [])


def test_memory_holds_nothing_while_the_spool_takes_all(tmp_path: Path, token: AccessToken) -> None:
    process = Process(tmp_path, max_pending=3)
    process.ledger.start()
    eventually(lambda: process.adopted)
    with capture_logs() as logs, table_away():
        for _ in range(200):
            process.ledger.record(costing(token))
        eventually(lambda: logs)
        assert len(process.ledger._memory) == 0
        assert process.spool.pending == 200
    eventually(lambda: UsageRecord.objects.count() == 200)
    process.ledger.stop()

    assert_sums_are_those_of_the_rows()
    assert files(tmp_path) == []
    assert "usage records were dropped: the database was away too long" not in str(logs)


def test_what_is_not_written_when_a_process_stops_is_written_by_the_next(
    tmp_path: Path, token: AccessToken
) -> None:
    first, second = Process(tmp_path), Process(tmp_path)
    with capture_logs(), table_away():
        first.ledger.record(costing(token))
        first.ledger.start()
        assert first.ledger.stop() == 0, "nothing is lost"
    second.ledger.start()
    eventually(lambda: UsageRecord.objects.count() == 1)
    second.ledger.stop()

    assert files(tmp_path) == []


def test_a_commit_whose_answer_is_lost_counts_once(
    tmp_path: Path, token: AccessToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers_lost = [OperationalError("server closed the connection")]

    def write_and_lose(*arguments: Any) -> Any:
        written = write_batch(*arguments)
        if answers_lost:
            raise answers_lost.pop()
        return written

    monkeypatch.setattr(ledger_module, "write_batch", write_and_lose)
    process = Process(tmp_path)
    with capture_logs():
        for _ in range(3):
            process.ledger.record(costing(token))
        process.ledger.start()
        eventually(lambda: process.adopted)
        process.ledger.stop()

    token.refresh_from_db()
    assert token.request_count == UsageRecord.objects.count() == 3
    assert_sums_are_those_of_the_rows()


def test_a_row_that_the_database_refuses_is_kept_aside(tmp_path: Path, token: AccessToken) -> None:
    good = [costing(token), costing(token)]
    left_behind(tmp_path, good[0], usage_entry(token, duration_seconds=-1.0), good[1])
    process = Process(tmp_path)
    with capture_logs():
        process.ledger.start()
        eventually(lambda: process.adopted)
        process.ledger.stop()

    assert set(UsageRecord.objects.values_list("id", flat=True)) == {each.id for each in good}
    assert [path.suffix for path in files(tmp_path)] == [".rejected"]


def test_nothing_is_called_adopted_before_the_database_has_it(tmp_path: Path, token: AccessToken) -> None:
    left_behind(tmp_path, costing(token))
    process = Process(tmp_path)
    with capture_logs() as logs, table_away():
        process.ledger.start()
        eventually(lambda: logs)
        assert process.adopted == 0
    eventually(lambda: process.adopted == 1)
    process.ledger.stop()

    assert UsageRecord.objects.count() == 1
