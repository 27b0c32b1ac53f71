"""What a process has left in its spool is written by another, once, with all that follows from it."""

import errno
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import InternalError, OperationalError
from django.utils import timezone
from structlog.testing import capture_logs
from uuid_utils.compat import uuid7

from llm_proxy_site.logs import info_line
from tests.databases import table_away
from tests.factories import AccessTokenFactory, usage_entry
from tests.ledgers import assert_sums_are_those_of_the_rows
from tests.live import eventually
from tokens.models import AccessToken
from usage import batches, early_finds
from usage import ledger as ledger_module
from usage.batches import write_batch
from usage.daily_spend import DayOfUse
from usage.entry import Finished, UsageEntry
from usage.ledger import Ledger
from usage.models import BackgroundWork, BudgetAlert, UsageRecord
from usage.outcomes import CostSource
from usage.prices import Price, Rates
from usage.pruning import cutoff, prune
from usage.spool.spool import Spool
from usage.statements import insert_records

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
    with capture_logs() as logs, table_away(UsageRecord):
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
    with capture_logs(), table_away(UsageRecord):
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

    monkeypatch.setattr(batches, "write_batch", write_and_lose)
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
    with capture_logs() as logs, table_away(UsageRecord):
        process.ledger.start()
        eventually(lambda: logs)
        assert process.adopted == 0
    eventually(lambda: process.adopted == 1)
    process.ledger.stop()

    assert UsageRecord.objects.count() == 1


def test_what_a_process_has_left_is_written_under_steady_load(tmp_path: Path, token: AccessToken) -> None:
    """Where a request ends while each batch is written, there is always more of our own."""
    left_behind(tmp_path, *(costing(token) for _ in range(20)))
    process = Process(tmp_path)
    is_over = False

    def ask_again(counts: object) -> None:
        if not is_over:
            process.ledger.record(costing(token))

    process.ledger._on_written = ask_again
    process.ledger.record(costing(token))
    process.ledger.start()
    try:
        eventually(lambda: process.adopted)
    finally:
        is_over = True
        process.ledger.stop()


def test_a_database_that_only_reads_for_a_while_refuses_nothing(
    tmp_path: Path, token: AccessToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, entries = Process(tmp_path), [costing(token) for _ in range(5)]
    read_only = [InternalError("cannot execute INSERT in a read-only transaction")]

    def insert(batch: list[UsageEntry]) -> None:
        if read_only:
            raise read_only[0]
        insert_records(batch)

    monkeypatch.setattr(batches, "insert_records", insert)
    with capture_logs() as logs:
        for each in entries:
            process.ledger.record(each)
        process.ledger.start()
        eventually(lambda: len(logs) >= 3)
        read_only.clear()
        eventually(lambda: UsageRecord.objects.count() == 5)
        process.ledger.stop()

    assert {line["event"] for line in logs if line["log_level"] == "error"} == {
        "usage cannot be written, will retry"
    }
    assert files(tmp_path) == []


def test_what_is_older_than_what_was_pruned_is_not_counted_again(tmp_path: Path, token: AccessToken) -> None:
    old = costing(token)
    old.started_at -= 3 * 86_400
    write_batch([old])
    prune(cutoff(timedelta(days=1), timezone.now()), actor="test")
    left_behind(tmp_path, old, new := costing(token))
    process = Process(tmp_path)
    with capture_logs():
        process.ledger.start()
        eventually(lambda: process.adopted)
        process.ledger.stop()

    token.refresh_from_db()
    assert token.request_count == 2
    assert set(UsageRecord.objects.values_list("id", flat=True)) == {new.id}
    assert [path.suffix for path in files(tmp_path)] == [".rejected"]


def test_a_file_that_cannot_be_put_away_holds_up_none_of_the_others(
    tmp_path: Path, token: AccessToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        left_behind(tmp_path, *(costing(token) for _ in range(50)))  # in some files
    unlink, kept = Path.unlink, min(tmp_path.glob("*.spool"))

    def keep(path: Path, missing_ok: bool = False) -> None:
        if path == kept:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", keep)
    process = Process(tmp_path)
    with capture_logs():
        process.ledger.start()
        eventually(lambda: process.adopted)
        process.ledger.stop()

    assert UsageRecord.objects.count() == 100
    assert {path.suffix for path in files(tmp_path)} == {".spool", ".lock"}
    assert kept in files(tmp_path)


def test_work_found_finished_by_one_process_before_another_has_written_its_beginning_is_charged(
    tmp_path: Path, token: AccessToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early_finds, "LOOK_SECONDS", 0.0)
    begun = usage_entry(token, id=uuid7(), work_id="resp_1", begins_work=True, cost_source="price")
    begun.cost_microusd = 900
    used = UsageEntry(id=uuid7(), started_at=0, method="", path="", input_tokens=3, output_tokens=7)
    found = usage_entry(token, id=uuid7(), work_id="resp_1", finished=Finished(used))
    price = Price(Rates.of(text_input=0, text_output=1_000_000))
    process = Process(tmp_path, find_price=lambda model, tier: price)
    process.ledger.start()
    process.ledger.record(found)
    eventually(lambda: UsageRecord.objects.filter(pk=found.id).exists())
    left_behind(tmp_path, begun)
    eventually(lambda: UsageRecord.objects.filter(pk=begun.id, cost_microusd=7).exists())
    process.ledger.stop()

    assert BackgroundWork.objects.get().finished_at is not None
    assert_sums_are_those_of_the_rows()
    assert sum(day.cost_microusd for day in process.corrected if day.token_id == token.id) == 7


def test_a_record_that_no_log_can_say_holds_up_none_of_the_others(
    token: AccessToken,
) -> None:
    assert b"\\ud800" in info_line("refused", {"entry": costing(token), "model": "m\ud800"})
    assert b"18446744073709551616" in info_line("refused", {"entry": 2**64})


def test_a_ledger_that_writes_nothing_for_long_tells_it(
    tmp_path: Path, token: AccessToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "BEHIND_SECONDS", 0.2)
    process = Process(tmp_path)
    with capture_logs(), table_away(UsageRecord):
        process.ledger.record(costing(token))
        process.ledger.start()
        eventually(lambda: "nothing could be written" in process.ledger.state)
    eventually(lambda: process.ledger.state == "")
    process.ledger.stop()
