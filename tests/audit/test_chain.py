import json
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from audit import trail
from audit.chain import verify
from audit.models import AuditEvent
from audit.pruning import prune
from tests.factories import AccessTokenFactory


def record(*names: str) -> None:
    for name in names:
        trail.record_act("thing.done", "thing", actor="user:ada", subject_name=name, details={"ratio": 0.1})


@pytest.fixture
def abcd(db: None) -> None:
    record("a", "b", "c", "d")


@pytest.fixture
def commit(
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> DjangoCaptureOnCommitCallbacks:
    return django_capture_on_commit_callbacks


def event(number: int) -> Any:
    return AuditEvent.objects.filter(sequence=number)


def test_events_follow_each_other(abcd: None) -> None:
    events = list(AuditEvent.objects.order_by("sequence"))
    assert [event.sequence for event in events] == [1, 2, 3, 4]
    assert [event.previous_hash for event in events] == ["", *(event.hash for event in events[:-1])]
    assert str(verify()) == "Chain verified: 4 events."


def test_events_of_many_subjects_follow_each_other_too(abcd: None) -> None:
    tokens = AccessTokenFactory.create_batch(3)
    before = AuditEvent.objects.count()
    trail.record_all(
        "token.seen", [(token, token.project_id, {"at": (1, 2)}) for token in tokens], actor="user:ada"
    )
    seen = list(AuditEvent.objects.order_by("sequence")[before:])
    assert [(event.subject_id, event.details) for event in seen] == [
        (str(token.pk), {"at": [1, 2]}) for token in tokens
    ]
    assert str(verify()) == f"Chain verified: {before + 3} events."


def test_empty_trail_is_whole(db: None) -> None:
    assert verify().broken_at is None


@pytest.mark.parametrize(
    "details", [{"n": 1e22}, {"n": 2.0, "m": 0.1}, {"s": ("é", None)}, {"ü": {"b": 1, "a": [2]}}]
)
def test_details_are_read_as_they_were_sealed(db: None, details: dict[str, Any]) -> None:
    trail.record_act("thing.done", "thing", actor="user:ada", details=details)
    assert verify().broken_at is None


@pytest.mark.parametrize(
    "forged",
    [
        {"actor": "user:eve"},
        {"details": {"ratio": 0.2}},
        {"subject_name": ""},
        {"address": "192.0.2.1"},
        {"occurred_at": timezone.now() - timedelta(days=1)},
        {"hash": "0" * 64},
        {"previous_hash": "0" * 64},
    ],
)
def test_changed_event_breaks_the_chain_there(abcd: None, forged: dict[str, Any]) -> None:
    event(2).update(**forged)
    assert verify().broken_at == 2


@pytest.mark.parametrize("number", [1, 2, 4])
def test_removed_event_breaks_the_chain_there(abcd: None, number: int) -> None:
    event(number).delete()
    assert verify().broken_at == number


def test_trail_that_was_emptied_is_broken_at_its_first_event(abcd: None) -> None:
    AuditEvent.objects.all().delete()
    assert verify().broken_at == 1


def test_command_says_whether_the_chain_is_whole_and_where_it_is_not(
    abcd: None, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("verify_audit")
    assert capsys.readouterr().out == "Chain verified: 4 events.\n"
    call_command("verify_audit", "--json")
    assert json.loads(capsys.readouterr().out) == {"verified": True, "events": 4}
    event(3).update(actor="user:eve")
    with pytest.raises(CommandError, match=r"^Chain broken at event 3: it is not what was recorded \(id "):
        call_command("verify_audit")


@pytest.mark.django_db(transaction=True)
def test_event_of_an_act_that_fails_leaves_no_gap() -> None:
    record("a")
    with pytest.raises(ZeroDivisionError):
        fail_after("b")
    record("c")
    assert list(AuditEvent.objects.values_list("sequence", "subject_name")) == [(2, "c"), (1, "a")]
    assert verify().broken_at is None


@transaction.atomic
def fail_after(name: str) -> None:
    record(name)
    raise ZeroDivisionError


@pytest.mark.django_db(transaction=True)
def test_many_writers_at_once_make_one_chain() -> None:
    writers = [threading.Thread(target=write_ten) for _ in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert str(verify()) == "Chain verified: 60 events."


def write_ten() -> None:
    try:
        for _ in range(5):
            record("a")
            with transaction.atomic():
                record("b")
    finally:
        connection.close()


def test_pruned_trail_is_verified_from_its_anchor(db: None) -> None:
    record("older", "old", "new")
    # Pruning goes by age and looks at no hash.
    AuditEvent.objects.filter(sequence__lte=2).update(occurred_at=timezone.now() - timedelta(days=9))
    assert prune(timezone.now() - timedelta(days=1), actor="system") == 2
    assert list(AuditEvent.objects.order_by("sequence").values_list("sequence", "action")) == [
        (3, "thing.done"),
        (4, "audit.pruned"),
    ]
    assert str(verify()) == "Chain verified: 2 events."
    event(3).delete()
    assert verify().broken_at == 3


def test_all_of_a_trail_can_be_pruned(abcd: None) -> None:
    assert prune(timezone.now() + timedelta(days=1), actor="system") == 4
    assert str(verify()) == "Chain verified: 1 events."


def test_nothing_to_prune_leaves_no_event(abcd: None) -> None:
    assert prune(timezone.now() - timedelta(days=1), actor="system") == 0
    assert AuditEvent.objects.count() == 4


def test_each_event_is_a_line_of_the_file_once_it_is_sure(
    db: None,
    settings: Settings,
    tmp_path: Path,
    commit: DjangoCaptureOnCommitCallbacks,
) -> None:
    settings.AUDIT_FILE = tmp_path / "audit.jsonl"
    with commit(execute=True):
        record("a", "b")
        assert not settings.AUDIT_FILE.exists()
    lines = [json.loads(line) for line in settings.AUDIT_FILE.read_text().splitlines()]
    assert [(line["sequence"], line["subject_name"], line["details"]) for line in lines] == [
        (1, "a", {"ratio": 0.1}),
        (2, "b", {"ratio": 0.1}),
    ]
    assert lines[1]["previous_hash"] == lines[0]["hash"]
    assert settings.AUDIT_FILE.stat().st_mode & 0o777 == 0o600


def test_file_that_cannot_be_written_is_in_no_acts_way(
    db: None,
    settings: Settings,
    tmp_path: Path,
    commit: DjangoCaptureOnCommitCallbacks,
) -> None:
    settings.AUDIT_FILE = tmp_path / "not-there" / "audit.jsonl"
    with commit(execute=True):
        record("a")
    assert AuditEvent.objects.count() == 1
