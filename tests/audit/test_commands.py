import csv
import json
from datetime import timedelta

import pytest
from django.core.management.base import CommandError
from django.db import DatabaseError
from django.utils import timezone
from structlog.testing import capture_logs

from audit import trail, verification
from audit.models import AuditEvent, ChainVerification
from tests.commands import run, run_json
from tests.factories import ProjectFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def event() -> AuditEvent:
    project = ProjectFactory(name="web")
    trail.record_act("thing.done", "thing", actor="user:ada", subject_name="=cmd()")
    return trail.record("project.changed", project, actor="user:grace", project_id=project.id)


def test_events_are_exported_the_latest_first_as_json_lines_or_csv(event: AuditEvent) -> None:
    lines = [json.loads(line) for line in run("export_audit").splitlines()]
    assert [line["action"] for line in lines] == ["project.changed", "thing.done"]
    assert lines[0]["previous_hash"] == lines[1]["hash"]
    rows = list(csv.DictReader(run("export_audit", "--format", "csv").splitlines()))
    assert [row["subject_name"] for row in rows] == ["web", "'=cmd()"]


def test_events_are_exported_by_filter(event: AuditEvent) -> None:
    today, tomorrow = (f"{timezone.now() + timedelta(days=days):%Y-%m-%d}" for days in (0, 1))
    for arguments in (
        ["--project", "web"],
        ["--actor", "user:grace"],
        ["--action", "project.changed", "--since", today, "--until", tomorrow],
    ):
        (line,) = run("export_audit", *arguments).splitlines()
        assert json.loads(line)["id"] == str(event.id), arguments
    assert run("export_audit", "--since", tomorrow) == ""
    assert run("export_audit", "--until", today) == ""


def test_events_are_exported_of_several_actors_and_of_all_that_begin_so() -> None:
    for actor in ("user:a.b", "api:a.b/1", "api:a.b/2", "api:aXb/3", "api:A.B/4", "user:a.bc"):
        trail.record_act("thing.done", "thing", actor=actor)
    lines = run("export_audit", "--actor", "user:a.b", "--actor", "api:a.b/*").splitlines()
    assert [json.loads(line)["actor"] for line in lines] == ["api:a.b/2", "api:a.b/1", "user:a.b"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--project", "none"], "There is no project"),
        (["--since", "yesterday"], "must be a day such as"),
        (["--format", "xlsx"], "invalid choice"),
    ],
)
def test_what_cannot_be_exported_is_said(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        run("export_audit", *arguments)


def test_result_of_verifying_stays(event: AuditEvent) -> None:
    assert run_json("verify_audit") == {"verified": True, "events": 2}
    found = verification.newest()
    assert found is not None
    assert (str(found), found.actor[:4]) == ("Chain verified: 2 events.", "cli:")
    AuditEvent.objects.filter(pk=event.pk).delete()
    with pytest.raises(CommandError, match=r"Chain broken at event 2: it is missing\."):
        run("verify_audit")
    assert str(verification.newest()) == "Chain broken at event 2: it is missing."


def test_chain_is_verified_where_the_result_cannot_be_kept(
    event: AuditEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a standby."""

    def fail(*args: object, **options: object) -> None:
        raise DatabaseError("attempt to write a readonly database")

    monkeypatch.setattr(ChainVerification, "save", fail)
    with capture_logs() as logs:
        assert run_json("verify_audit") == {"verified": True, "events": 2}
    assert [line["log_level"] for line in logs] == ["warning"]
    assert verification.newest() is None
