"""What was captured: read by whom, with which trace, for how long."""

from datetime import timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management.base import CommandError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.models import AuditEvent
from llm_proxy_site.api.scopes import read_scopes
from projects.access import ADMIN, OPERATOR
from projects.models import Project
from tests.commands import run, run_json
from tests.factories import CapturedBodiesFactory, ProjectFactory, UsageRecordFactory, UserFactory
from tests.management import Manager, key_of, refusal
from tests.refusals.answers import text_of
from usage.captures.pruning import prune
from usage.models import CapturedBodies, UsageRecord

pytestmark = pytest.mark.django_db
WORDS = "<b>What was asked</b>"


@pytest.fixture
def record() -> UsageRecord:
    found = UsageRecordFactory.create()
    CapturedBodiesFactory(id=found.pk, project=found.project, text=WORDS)
    return found


def readings() -> list[tuple[str, str]]:
    found = AuditEvent.objects.filter(action="captured_bodies.read")
    return list(found.values_list("actor", "subject_id"))


def page(record: UsageRecord) -> str:
    return reverse("admin:usage_usagerecord_change", args=[record.pk])


def test_an_admin_reads_it_on_the_requests_page_and_leaves_a_trace(
    client: Client, record: UsageRecord
) -> None:
    client.force_login(UserFactory(role=ADMIN, username="ada"))
    closed = client.get(page(record)).content.decode()
    assert "Show bodies" in closed
    assert "What was asked" not in closed
    assert readings() == []

    shown = client.get(f"{page(record)}?bodies=1").content.decode()
    assert "&lt;b&gt;What was asked&lt;/b&gt;" in shown
    assert WORDS not in shown
    assert "<details open" not in shown
    assert readings() == [("user:ada", str(record.pk))]


def test_who_may_see_requests_may_not_read_bodies(client: Client, record: UsageRecord) -> None:
    client.force_login(UserFactory(role=OPERATOR, projects=[record.project]))
    for url in (page(record), f"{page(record)}?bodies=1"):
        answer = client.get(url)
        assert answer.status_code == 200
        assert "Show bodies" not in answer.content.decode()
        assert "What was asked" not in answer.content.decode()
    assert readings() == []


def test_no_list_and_no_export_has_it(client: Client, record: UsageRecord) -> None:
    client.force_login(UserFactory(superuser=True))
    for name in ("changelist", "export"):
        answer = client.get(reverse(f"admin:usage_usagerecord_{name}"))
        assert "What was asked" not in text_of(answer)
    assert "What was asked" not in str(Manager.of_superuser().ask("/usage"))
    assert readings() == []


def test_the_management_api_tells_it_and_leaves_a_trace(record: UsageRecord) -> None:
    manager = Manager.of_superuser()
    told = manager.ask(f"/usage/{record.pk}/capture")
    assert told["id"] == str(record.pk)
    assert told["request"]["text"] == f'{{"text":"{WORDS}"}}'
    assert (told["answer"]["text"], told["answer"]["note"]) == (None, "It is empty.")
    ((actor, subject),) = readings()
    assert actor.startswith("api:")
    assert subject == str(record.pk)
    other = UsageRecordFactory.create()
    assert refusal(manager.call("GET", f"/usage/{other.pk}/capture"))[:2] == (404, "not_found")


def test_a_key_that_may_read_all_the_rest_may_not_read_it(record: UsageRecord) -> None:
    manager = Manager(key_of(UserFactory(superuser=True), read_scopes("read")))
    assert manager.call("GET", f"/usage/{record.pk}").status_code == 200
    assert refusal(manager.call("GET", f"/usage/{record.pk}/capture"))[:2] == (403, "missing_scope")


def test_the_command_shows_it_and_leaves_a_trace(
    record: UsageRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "ada")
    assert WORDS in run("show_capture", str(record.pk))
    assert run_json("show_capture", str(record.pk))["request"]["size_bytes"] == len(WORDS) + 12
    assert readings() == [("cli:ada", str(record.pk))] * 2
    with pytest.raises(CommandError, match="Nothing is kept"):
        run("show_capture", str(UsageRecordFactory.create().pk))


def test_what_has_had_its_time_is_not_told_and_then_deleted(record: UsageRecord) -> None:
    now = timezone.now()
    project = record.project
    fresh = CapturedBodiesFactory(project=project, captured_at=now - timedelta(days=6))
    old = CapturedBodiesFactory(project=project, captured_at=now - timedelta(days=8))
    longer = ProjectFactory.create(capture_retention=timedelta(days=9))
    kept = CapturedBodiesFactory(project=longer, captured_at=now - timedelta(days=8))
    assert CapturedBodies.objects.of(old.pk, now) is None
    assert CapturedBodies.objects.of(fresh.pk, now) is not None
    assert prune(now) == 1
    assert set(CapturedBodies.objects.values_list("pk", flat=True)) == {record.pk, fresh.pk, kept.pk}

    project.capture_retention = timedelta(days=5)  # shorter: of what is there, too
    project.save()
    assert run_json("prune_captures") == {"deleted": 1}
    assert set(CapturedBodies.objects.values_list("pk", flat=True)) == {record.pk, kept.pk}


def test_no_project_keeps_longer_than_the_installation_permits(settings: Any) -> None:
    project = ProjectFactory.create(capture_retention=timedelta(days=30))
    now = timezone.now()
    CapturedBodiesFactory(project=project, captured_at=now - timedelta(days=2))
    assert prune(now) == 0
    settings.CAPTURE_MAX_RETENTION = timedelta(days=1)
    assert prune(now) == 1


def test_what_nobody_has_any_more_goes(record: UsageRecord) -> None:
    CapturedBodies.objects.update(project_id=record.pk)  # no project's id
    assert CapturedBodies.objects.of(record.pk, timezone.now()) is None
    assert prune(timezone.now()) == 1


def deleted_of() -> list[tuple[str, str, dict[str, Any]]]:
    found = AuditEvent.objects.filter(action="captured_bodies.deleted")
    return list(found.values_list("actor", "subject_name", "details"))


def test_all_of_a_project_is_deleted_at_once(
    client: Client, record: UsageRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "ada")
    mine, other = record.project, CapturedBodiesFactory()
    facts = run_json("delete_captures", mine.name)
    assert facts == {"project": mine.name, "deleted": 1}
    assert list(CapturedBodies.objects.all()) == [other]

    CapturedBodiesFactory(project=mine)
    assert Manager.of_superuser().do("DELETE", f"/projects/{mine.pk}/captures") == {"deleted": 1}

    CapturedBodiesFactory.create_batch(2, project=mine)
    client.force_login(UserFactory(role=ADMIN, username="grace"))
    url = reverse("delete_captures", args=[mine.pk])
    assert "Delete the bodies of 2 requests" in client.get(url).content.decode()
    assert CapturedBodies.objects.count() == 3
    assert client.post(url).status_code == 302
    assert list(CapturedBodies.objects.all()) == [other]
    assert [(name, details["captures"]) for _, name, details in deleted_of()] == [
        (mine.name, 2),
        (mine.name, 1),
        (mine.name, 1),
    ]
    assert {actor.split(":")[0] for actor, _, _ in deleted_of()} == {"cli", "api", "user"}


def test_turning_it_on_is_in_the_audit_trail(client: Client) -> None:
    project: Project = ProjectFactory.create()
    run("update_project", project.name, "--capture-policy=all", "--capture-redacted=user")
    event = AuditEvent.objects.get(action="project.changed")
    assert event.details == {
        "capture_policy": {"before": "off", "after": "all"},
        "capture_redacted": {"before": [], "after": ["user"]},
    }


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ("--capture-max-bytes=2000000", "CAPTURE_MAX_BYTES"),
        ("--capture-max-bytes=1023", "1024"),
        ("--capture-retention=31d", "CAPTURE_MAX_RETENTION"),
        ("--capture-retention=366d", "CAPTURE_MAX_RETENTION"),
        ("--capture-retention=never", "A period is a number and a unit"),
        ("--capture-retention=30s", "1:00:00"),
        ("--capture-retention=30m", "1:00:00"),
        ("--capture-redacted=messages[0].content", r"messages\[\]\.content"),
    ],
)
def test_what_is_out_of_bounds_is_refused(option: str, problem: str) -> None:
    project = ProjectFactory.create()
    with pytest.raises(CommandError, match=problem):
        run("update_project", project.name, option)
    project.refresh_from_db()
    assert project.capture_max_bytes == 65536


def test_a_narrower_bound_of_the_installation_stands_in_the_way_of_no_other_edit(settings: Any) -> None:
    project = ProjectFactory.create(capture_max_bytes=500_000)
    settings.CAPTURE_MAX_BYTES = 1024
    run("update_project", project.name, "--capture-policy=all")
    project.refresh_from_db()
    assert project.capture_policy == "all"


def test_encryption_keys_are_rotated_of_it_too_with_one_event(record: UsageRecord, settings: Any) -> None:
    CapturedBodiesFactory.create_batch(12, project=record.project)
    new = Fernet.generate_key().decode()
    settings.ENCRYPTION_KEYS = [new, *settings.ENCRYPTION_KEYS]
    before = run_json("rotate_encryption_keys", "--check")
    assert before["secrets"][0] == 0
    run("rotate_encryption_keys")
    settings.ENCRYPTION_KEYS = [new]
    assert WORDS in run("show_capture", str(record.pk))
    events = AuditEvent.objects.filter(action="captured_bodies.reencrypted")
    assert [event.details for event in events] == [{"rows": 13}]


def test_what_no_key_decrypts_says_so(client: Client, record: UsageRecord, settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    client.force_login(UserFactory(superuser=True))
    assert "No key in ENCRYPTION_KEYS" in client.get(f"{page(record)}?bodies=1").content.decode()
    with pytest.raises(CommandError, match="No key in ENCRYPTION_KEYS"):
        run("show_capture", str(record.pk))
    assert readings() == []
