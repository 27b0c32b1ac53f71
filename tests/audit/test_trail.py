import getpass
import os
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import IntegrityError, transaction
from django.utils import timezone

from audit import actors, trail
from audit.models import AuditEvent
from tests.factories import AccessTokenFactory, ProjectFactory, UserFactory


@pytest.mark.django_db
def test_event_says_who_did_what_to_what_and_when() -> None:
    project = ProjectFactory.create(name="alpha")
    trail.record(
        "project.moved", project, actor="user:ada", project_id=project.id, details={"from": "a", "to": None}
    )
    event = AuditEvent.objects.get()
    assert (event.actor, event.action) == ("user:ada", "project.moved")
    assert (event.subject_type, event.subject_id, event.subject_name) == ("project", str(project.id), "alpha")
    assert (event.project_id, event.details) == (project.id, {"from": "a", "to": None})
    assert timezone.now() - event.occurred_at < timedelta(minutes=1)


@pytest.mark.django_db
def test_event_needs_neither_a_project_nor_details() -> None:
    trail.record("user.added", UserFactory.create(username="bob"), actor="user:ada")
    event = AuditEvent.objects.get()
    assert (event.subject_name, event.project_id, event.details) == ("bob", None, {})


@pytest.mark.django_db
def test_names_too_long_for_their_columns_are_cut() -> None:
    user = UserFactory.create(username="u" * 150)
    user.username = "u" * 200
    trail.record("user.added", user, actor="user:" + "a" * 200)
    event = AuditEvent.objects.get()
    assert event.actor == "user:" + "a" * 145
    assert event.subject_name == "u" * 150


@pytest.mark.django_db(transaction=True)
def test_event_falls_with_the_act_that_it_tells_of() -> None:
    project = ProjectFactory.create()

    @transaction.atomic
    def act_that_fails() -> None:
        trail.record("project.moved", project, actor="user:ada")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        act_that_fails()
    assert not AuditEvent.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("missing", [{"actor": ""}, {"action": ""}])
def test_database_refuses_an_event_without_an_actor_or_an_action(missing: dict[str, Any]) -> None:
    project = ProjectFactory.create()
    with pytest.raises(IntegrityError, match="audit_event_says_who_and_what"):
        trail.record(**{"action": "project.moved", "subject": project, "actor": "user:ada"} | missing)


@pytest.mark.django_db
def test_event_outlives_its_subject() -> None:
    project = ProjectFactory.create(name="alpha")
    trail.record("project.moved", project, actor="user:ada", project_id=project.id)
    project_id = project.id
    project.delete()
    event = AuditEvent.objects.get()
    assert (event.project_id, event.subject_name) == (project_id, "alpha")


@pytest.mark.django_db
def test_newest_event_is_the_first() -> None:
    project = ProjectFactory.create()
    for action in ("project.moved", "project.moved_back"):
        trail.record(action, project, actor="user:ada")
    assert [event.action for event in AuditEvent.objects.all()] == ["project.moved_back", "project.moved"]


@pytest.mark.django_db
def test_event_reads_as_a_sentence() -> None:
    token = AccessTokenFactory.create(name="laptop")
    assert str(AuditEvent.objects.get(subject_id=token.id)) == "token.issued accesstoken laptop"


@pytest.mark.django_db
def test_actor_of_the_admin_is_the_user() -> None:
    assert actors.of_user(UserFactory.create(username="ada")) == "user:ada"


def test_nobody_in_particular_is_an_actor_without_a_name() -> None:
    assert actors.of_user(AnonymousUser()) == "user:"


def test_actor_of_the_command_line_is_the_user_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ada")
    assert actors.of_command_line() == "cli:ada"


def test_user_of_the_system_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    with pytest.raises((KeyError, OSError)):
        getpass.getuser()
    assert actors.of_command_line() == "cli:54321"
