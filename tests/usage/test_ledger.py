import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, connection
from django.db.models import Model
from django.test.utils import CaptureQueriesContext
from structlog.testing import capture_logs
from uuid_utils.compat import uuid7

from tests.databases import table_away
from tests.factories import AccessTokenFactory, usage_entry
from tests.live import eventually
from tokens.models import AccessToken
from usage import batches
from usage import ledger as ledger_module
from usage.batches import write_batch
from usage.entry import UsageEntry
from usage.ledger import BATCH_ROWS, Ledger
from usage.models import DailySpend, UsageRecord
from usage.outcomes import CostSource, Outcome, UsageSource

STARTED_AT = 1_900_000_000.25
BAD_FIELDS: list[dict[str, Any]] = [
    {"duration_seconds": -1.0},
    {"input_tokens": 2**64},
    {"path": "/v1/\ud800"},
    {"started_at": float("nan")},
    {"status": -1},
    {"token_id": None},
]


def entry(token: AccessToken, **fields: Any) -> UsageEntry:
    return usage_entry(token, **({"started_at": STARTED_AT} | fields))


def of_both(token: AccessToken, count: int) -> dict[UUID, int]:
    """As the ledger tells them: of the token and of its project."""
    return {token.id: count, token.project_id: count}


def costing(token: AccessToken, cost_microusd: int, **fields: Any) -> UsageEntry:
    return entry(token, cost_source=CostSource.PRICE, cost_microusd=cost_microusd, **fields)


FREEZING = {
    "sqlite": ("", "BEGIN SELECT RAISE(ABORT, 'frozen'); END", "DROP TRIGGER frozen"),
    "postgresql": (
        "CREATE FUNCTION freeze() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'frozen'; END $$;",
        "EXECUTE FUNCTION freeze()",
        "DROP FUNCTION freeze CASCADE",
    ),
    "mysql": ("", "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'frozen'", "DROP TRIGGER frozen"),
}
"""By engine: what a trigger needs, what it does, how it goes."""


@contextmanager
def frozen(model: type[Model]) -> Iterator[None]:
    """Meanwhile, the database refuses every change of these rows."""
    need, action, drop = FREEZING[connection.vendor]
    table = model._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"{need} CREATE TRIGGER frozen BEFORE UPDATE ON {table} FOR EACH ROW {action}")
        try:
            yield
        finally:
            cursor.execute(drop)


@pytest.fixture(autouse=True)
def _quick_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "RETRY_SECONDS", 0.02)


@pytest.fixture
def token(transactional_db: None) -> AccessToken:
    return AccessTokenFactory.create()


class Writer:
    """A ledger and what it has told."""

    def __init__(self, *, batch_seconds: float = 0.01, max_pending: int = 10_000) -> None:
        self.told: list[dict[UUID, int]] = []
        self.ledger = Ledger(
            batch_seconds=batch_seconds, max_pending=max_pending, on_written=self.told.append
        )

    def write(self, *entries: UsageEntry) -> list[str]:
        """Record these, write them and stop; what was logged."""
        with capture_logs() as logs:
            for each in entries:
                self.ledger.record(each)
            self.ledger.start()
            assert self.ledger.stop() == 0
        return [line["event"] for line in logs]

    def told_sum(self) -> Counter[UUID]:
        return sum((Counter(counts) for counts in self.told), Counter())


@pytest.fixture
def writer() -> Writer:
    return Writer()


@pytest.fixture
def running(writer: Writer) -> Iterator[Writer]:
    writer.ledger.start()
    yield writer
    writer.ledger.stop()


def stored_ids() -> set[UUID]:
    return set(UsageRecord.objects.values_list("id", flat=True))


def daily_sums() -> set[tuple[Any, ...]]:
    return set(DailySpend.objects.values_list("subject_id", "day", "requests", "cost_microusd"))


def sums_of_both(token: AccessToken, requests: int, cost_microusd: int) -> set[tuple[Any, ...]]:
    """On one day: of the token and of its project, which has no other."""
    day = datetime.fromtimestamp(STARTED_AT, UTC).date()
    return {(subject_id, day, requests, cost_microusd) for subject_id in (token.id, token.project_id)}


def test_every_fact_of_a_request_is_written_to_its_column(token: AccessToken) -> None:
    facts: dict[str, Any] = {
        "id": uuid7(),
        "method": "POST",
        "path": "/v1/chat/completions",
        "project_id": token.project_id,
        "token_id": token.id,
        "endpoint": "/chat/completions",
        "is_stream": True,
        "model": "gpt-4o-mini",
        "outcome": Outcome.CLIENT_CLOSED,
        "status": 200,
        "error_code": "upstream_timeout",
        "shadow_refusals": "model_not_allowed",
        "is_admitted": True,
        "attempts": 2,
        "usage_source": UsageSource.UPSTREAM,
        "input_tokens": 11,
        "output_tokens": 22,
        "cached_tokens": 33,
        "reasoning_tokens": 44,
        "cache_write_tokens": 4,
        "audio_input_tokens": 5,
        "audio_output_tokens": 6,
        "image_input_tokens": 7,
        "image_output_tokens": 8,
        "audio_seconds": 2.5,
        "service_tier": "flex",
        "cost_source": CostSource.PRICE,
        "cost_microusd": 77,
        "duration_seconds": 1.5,
        "first_byte_seconds": 0.5,
        "upstream_processing_seconds": 0.25,
        "upstream_request_id": "req_1",
        "request_bytes": 55,
        "response_bytes": 66,
    }
    no_columns = {"work_id", "begins_work", "finished", "overhead_seconds", "limit_reached"}
    assert facts.keys() | {"started_at"} == set(UsageEntry.__struct_fields__) - no_columns
    write_batch([UsageEntry(started_at=STARTED_AT, **facts)])
    row = UsageRecord.objects.values().get()
    assert row == {**facts, "started_at": datetime.fromtimestamp(STARTED_AT, UTC)}


def test_tokens_counter_moves_by_its_admitted_requests(token: AccessToken) -> None:
    other = AccessTokenFactory.create(request_count=5)
    counts = write_batch([entry(token), entry(token, is_admitted=False), entry(other), entry(token)])
    token.refresh_from_db()
    other.refresh_from_db()
    assert (token.request_count, other.request_count) == (2, 6)
    assert counts == of_both(token, 2) | of_both(other, 1)


def test_requests_of_a_projects_tokens_are_told_together(token: AccessToken) -> None:
    sibling = AccessTokenFactory.create(project=token.project)
    counts = write_batch([entry(token), entry(sibling), entry(sibling)])
    assert counts == {token.id: 1, sibling.id: 2, token.project_id: 3}


def test_token_was_last_used_when_its_last_request_ended(token: AccessToken) -> None:
    write_batch([entry(token, duration_seconds=60), entry(token, started_at=STARTED_AT + 1)])
    token.refresh_from_db()
    assert token.last_used_at == datetime.fromtimestamp(STARTED_AT + 60, UTC)


def test_refused_request_is_no_use_of_its_token(token: AccessToken) -> None:
    write_batch([entry(token, is_admitted=False, outcome=Outcome.REFUSED)])
    token.refresh_from_db()
    assert (token.last_used_at, token.request_count) == (None, 0)
    assert DailySpend.objects.count() == 0


def test_cost_of_a_request_that_was_not_admitted_is_summed_all_the_same(token: AccessToken) -> None:
    write_batch([costing(token, 7, is_admitted=False)])
    token.refresh_from_db()
    assert (token.last_used_at, token.request_count) == (None, 0)
    assert daily_sums() == sums_of_both(token, 0, 7)


def test_request_that_is_written_late_does_not_set_its_tokens_last_use_back(token: AccessToken) -> None:
    write_batch([entry(token)])
    write_batch([entry(token, started_at=STARTED_AT - 600)])
    token.refresh_from_db()
    assert token.last_used_at == datetime.fromtimestamp(STARTED_AT, UTC)


def test_requests_and_costs_are_summed_by_subject_and_utc_day(token: AccessToken) -> None:
    sibling, stranger = AccessTokenFactory.create(project=token.project), AccessTokenFactory.create()
    midnight = datetime(2030, 3, 18, tzinfo=UTC).timestamp()
    write_batch(
        [
            costing(token, 30, started_at=midnight - 0.001, duration_seconds=9),
            costing(token, 4, started_at=midnight),
            costing(token, 5, started_at=midnight + 86_399.999),
            costing(sibling, 700, started_at=midnight),
            costing(stranger, 8_000, started_at=midnight),
        ]
    )
    assert daily_sums() == {
        (token.id, date(2030, 3, 17), 1, 30),
        (token.id, date(2030, 3, 18), 2, 9),
        (sibling.id, date(2030, 3, 18), 1, 700),
        (stranger.id, date(2030, 3, 18), 1, 8_000),
        (token.project_id, date(2030, 3, 17), 1, 30),
        (token.project_id, date(2030, 3, 18), 3, 709),
        (stranger.project_id, date(2030, 3, 18), 1, 8_000),
    }


def test_sums_of_a_day_grow_with_every_batch(token: AccessToken) -> None:
    for cost in (1, 20, 300):
        write_batch([costing(token, cost)])
    assert daily_sums() == sums_of_both(token, 3, 321)


def test_day_of_a_project_is_moved_once_a_batch_in_the_order_of_locks(token: AccessToken) -> None:
    siblings = [AccessTokenFactory.create(project=token.project) for _ in range(3)]
    tokens = [*siblings, token]
    write_batch([entry(each) for each in tokens])
    with CaptureQueriesContext(connection) as queries:
        write_batch([entry(each) for each in tokens])
    moves = [query["sql"] for query in queries if query["sql"].startswith("UPDATE usage_dailyspend")]
    subject_ids = sorted([token.project_id, *(each.id for each in tokens)])
    assert [re.findall("[0-9a-f]{32}", move.replace("-", "")) for move in moves] == [
        [each.hex] for each in subject_ids
    ]


def test_unpriced_request_is_counted_and_costs_nothing_that_is_known(token: AccessToken) -> None:
    unpriced = entry(token, cost_source=CostSource.UNPRICED, cost_microusd=None)
    write_batch([unpriced, costing(token, 7)])
    assert daily_sums() == sums_of_both(token, 2, 7)
    assert UsageRecord.objects.get(id=unpriced.id).cost_microusd is None


def test_record_of_a_token_that_is_gone_is_written(token: AccessToken) -> None:
    gone = costing(token, 7)
    AccessToken.objects.filter(pk=token.pk).delete()
    write_batch([gone])
    assert stored_ids() == {gone.id}
    assert daily_sums() == sums_of_both(token, 1, 7)


@pytest.mark.parametrize("model", [AccessToken, DailySpend])
def test_nothing_is_written_when_what_is_summed_cannot_be(token: AccessToken, model: type[Model]) -> None:
    write_batch([costing(token, 7)])
    before = stored_ids(), daily_sums()
    with frozen(model), pytest.raises(DatabaseError, match="frozen"):
        write_batch([costing(token, 7)])
    assert before == (stored_ids(), daily_sums())


def test_counters_do_not_move_when_a_record_is_refused(token: AccessToken) -> None:
    with pytest.raises(IntegrityError):
        write_batch([entry(token), entry(token, duration_seconds=-1.0)])
    token.refresh_from_db()
    assert (token.request_count, token.last_used_at) == (0, None)
    assert stored_ids() == daily_sums() == set()


def test_writers_of_one_token_and_day_lose_nothing(token: AccessToken) -> None:
    def write_20() -> None:
        try:
            for _ in range(20):
                write_batch([costing(token, 3)])
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as writers:
        for done in [writers.submit(write_20) for _ in range(4)]:
            done.result()
    token.refresh_from_db()
    assert token.request_count == UsageRecord.objects.count() == 80
    assert daily_sums() == sums_of_both(token, 80, 240)


def test_requests_are_written_while_others_go_on(running: Writer, token: AccessToken) -> None:
    first, second = entry(token), entry(token)
    running.ledger.record(first)
    eventually(lambda: stored_ids() == {first.id})
    running.ledger.record(second)
    eventually(lambda: stored_ids() == {first.id, second.id})
    eventually(lambda: running.told_sum() == of_both(token, 2))


def test_requests_of_a_moment_are_written_in_one_transaction(token: AccessToken) -> None:
    writer = Writer()
    writer.write(*(entry(token) for _ in range(BATCH_ROWS)))
    assert writer.told == [of_both(token, BATCH_ROWS)]


def test_stop_writes_all_that_is_pending_at_once(token: AccessToken) -> None:
    writer = Writer(batch_seconds=3600)
    entries = [entry(token) for _ in range(2 * BATCH_ROWS + 1)]
    assert writer.write(*entries) == []
    assert stored_ids() == {each.id for each in entries}
    assert writer.told_sum() == of_both(token, len(entries))


def test_nothing_is_written_twice_or_lost_under_load(running: Writer, token: AccessToken) -> None:
    def record_500() -> None:
        for _ in range(500):
            running.ledger.record(entry(token))

    threads = [threading.Thread(target=record_500) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert running.ledger.stop() == 0
    token.refresh_from_db()
    assert UsageRecord.objects.count() == token.request_count == 2000
    assert running.told_sum() == of_both(token, 2000)


def test_only_admitted_requests_are_told(writer: Writer, token: AccessToken) -> None:
    writer.write(entry(token), entry(token, is_admitted=False))
    assert writer.told == [of_both(token, 1)]


def test_full_queue_drops_what_comes_and_says_how_many(token: AccessToken) -> None:
    writer = Writer(max_pending=2)
    entries = [entry(token) for _ in range(5)]
    with capture_logs() as logs:
        for each in entries:
            writer.ledger.record(each)
        writer.ledger.start()
        writer.ledger.stop()
    assert stored_ids() == {each.id for each in entries[:2]}
    assert [(line["log_level"], line["dropped"]) for line in logs] == [("error", 3)]
    assert writer.told_sum() == of_both(token, 5)  # what is given up is told too: nobody need wait for it


def test_queue_that_was_full_takes_requests_again(token: AccessToken) -> None:
    writer = Writer(max_pending=1)
    entries = [entry(token) for _ in range(3)]
    writer.ledger.record(entries[0])
    writer.ledger.record(entries[1])
    with capture_logs():
        writer.ledger.start()
        eventually(lambda: writer.told_sum() == of_both(token, 2))
        writer.ledger.record(entries[2])
        writer.ledger.stop()
    assert stored_ids() == {entries[0].id, entries[2].id}


@pytest.mark.parametrize(
    "field", ["method", "endpoint", "path", "model", "error_code", "service_tier", "upstream_request_id"]
)
def test_text_that_a_client_made_too_long_or_unstorable_is_cut_to_its_column(
    writer: Writer, token: AccessToken, field: str
) -> None:
    assert writer.write(entry(token, **{field: "a\0" * 1000})) == []
    stored = UsageRecord.objects.values_list(field, flat=True).get()
    length = UsageRecord._meta.get_field(field).max_length
    assert stored == ("a\ufffd" * 1000)[:length]


@pytest.mark.parametrize("bad", BAD_FIELDS)
def test_record_that_the_database_refuses_does_not_take_its_neighbours_along(
    writer: Writer, token: AccessToken, bad: dict[str, Any]
) -> None:
    before, after = entry(token), entry(token)
    logged = writer.write(before, entry(token, **bad), after)
    assert logged == [
        "a batch of usage was refused, writing its rows one by one",
        "a usage record was refused",
    ]
    assert stored_ids() == {before.id, after.id}
    token.refresh_from_db()
    assert token.request_count == 2
    assert writer.told_sum() == {token.id: 2 if "token_id" in bad else 3, token.project_id: 3}


def test_request_that_was_written_before_is_not_counted_again(writer: Writer, token: AccessToken) -> None:
    """As after a commit whose answer was lost on the way."""
    twice = entry(token)
    write_batch([twice])
    writer.write(twice, entry(token))
    token.refresh_from_db()
    assert UsageRecord.objects.count() == token.request_count == 2


def test_requests_of_a_time_without_database_are_written_when_it_is_back(
    running: Writer, token: AccessToken
) -> None:
    entries = [entry(token) for _ in range(3)]
    with capture_logs() as logs, table_away(UsageRecord):
        for each in entries:
            running.ledger.record(each)
        eventually(lambda: len([line for line in logs if line["pending"] == 3]) >= 2)
        assert running.told == []
    eventually(lambda: running.told_sum() == of_both(token, 3))
    token.refresh_from_db()
    assert stored_ids() == {each.id for each in entries}
    assert token.request_count == 3
    assert {line["event"] for line in logs} == {"usage cannot be written, will retry"}


def test_lag_is_the_age_of_what_waits_and_nothing_when_all_is_written(
    running: Writer, token: AccessToken
) -> None:
    assert running.ledger.lag_seconds == 0
    with capture_logs(), table_away(UsageRecord):
        running.ledger.record(entry(token))
        eventually(lambda: running.ledger.lag_seconds > 0.3)
        assert running.ledger.memory_records == 1
        before = running.ledger.lag_seconds
        time.sleep(0.1)
        assert before + 0.1 <= running.ledger.lag_seconds < before + 5
    eventually(lambda: running.ledger.lag_seconds == 0)
    assert running.ledger.memory_records == 0


def test_requests_are_taken_without_waiting_while_the_database_is_away(
    running: Writer, token: AccessToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "RETRY_SECONDS", 60)
    with capture_logs() as logs, table_away(UsageRecord):
        running.ledger.record(entry(token))
        eventually(lambda: logs)
        before = time.monotonic()
        for _ in range(100):
            running.ledger.record(entry(token))
        assert time.monotonic() - before < 1
    assert running.ledger.stop() == 0
    assert UsageRecord.objects.count() == 101


def test_stop_without_database_says_how_many_requests_were_not_written(
    running: Writer, token: AccessToken
) -> None:
    with capture_logs(), table_away(UsageRecord):
        for _ in range(3):
            running.ledger.record(entry(token))
        assert running.ledger.stop() == 3
    assert stored_ids() == set()
    assert running.told == []


def test_database_that_goes_away_after_a_refused_batch_loses_nothing(
    writer: Writer, token: AccessToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    absences = [OperationalError("database is locked")]

    def absent_once(batch: list[UsageEntry], *arguments: Any) -> dict[UUID, int]:
        if len(batch) == 1 and absences:
            raise absences.pop()
        return write_batch(batch, *arguments)

    monkeypatch.setattr(batches, "write_batch", absent_once)
    good = [entry(token), entry(token)]
    with capture_logs():
        for each in (*good, entry(token, duration_seconds=-1.0)):
            writer.ledger.record(each)
        writer.ledger.start()
        try:
            eventually(lambda: stored_ids() == {each.id for each in good}, within_seconds=1)
        finally:
            writer.ledger.stop()


def test_ledger_that_nobody_listens_to_writes_all_the_same(token: AccessToken) -> None:
    ledger = Ledger(batch_seconds=0.01, max_pending=10)
    ledger.record(entry(token))
    ledger.start()
    ledger.stop()
    assert UsageRecord.objects.count() == 1


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"outcome": "exploded"}, "usage_record_outcome_is_known"),
        ({"duration_seconds": -0.1}, "usage_record_duration_is_positive"),
    ],
)
def test_database_refuses_a_record_that_makes_no_sense(
    token: AccessToken, fields: dict[str, Any], constraint: str
) -> None:
    write_batch([entry(token)])
    with pytest.raises(IntegrityError, match=constraint):
        UsageRecord.objects.update(**fields)
