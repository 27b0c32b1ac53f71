import getpass
import os

import pytest
from django.test import Client
from django.urls import reverse

from audit import trail
from audit.actors import of_command_line, of_user
from audit.models import AuditEvent
from tests.factories import ProjectFactory, UserFactory

pytestmark = pytest.mark.django_db
LIST = reverse("admin:audit_auditevent_changelist")


@pytest.fixture
def ada(client: Client) -> Client:
    client.force_login(UserFactory(superuser=True, username="ada"))
    return client


@pytest.fixture
def event() -> AuditEvent:
    project = ProjectFactory(name="alpha")
    return trail.record(
        "project.changed", project, actor="user:grace", project_id=project.id, details={"fields": ["name"]}
    )


def page(event: AuditEvent, view: str = "change") -> str:
    return reverse(f"admin:audit_auditevent_{view}", args=[event.pk])


def test_list_and_page_show_who_changed_what(ada: Client, event: AuditEvent) -> None:
    for url in (LIST, page(event)):
        html = ada.get(url).content.decode()
        for shown in ("user:grace", "project.changed", "alpha", event.subject_id):
            assert shown in html


def test_page_shows_the_details(ada: Client, event: AuditEvent) -> None:
    assert "{&quot;fields&quot;: [&quot;name&quot;]}" in ada.get(page(event)).content.decode()


@pytest.mark.parametrize("word", ["grace", "alpha"])
def test_list_is_searched_by_actor_and_subject(ada: Client, event: AuditEvent, word: str) -> None:
    trail.record("project.changed", ProjectFactory(name="beta"), actor="user:linus")
    html = ada.get(LIST, {"q": word}).content.decode()
    assert "user:grace" in html
    assert "user:linus" not in html


def test_list_is_filtered_by_action(ada: Client, event: AuditEvent) -> None:
    assert "user:grace" not in ada.get(LIST, {"action": "token.revoked"}).content.decode()


def test_events_are_neither_added_changed_nor_deleted(ada: Client, event: AuditEvent) -> None:
    assert ada.get(reverse("admin:audit_auditevent_add")).status_code == 403
    assert ada.post(page(event), {"actor": "user:nobody"}).status_code == 403
    assert ada.post(page(event, "delete"), {"post": "yes"}).status_code == 403
    assert 'name="_save"' not in ada.get(page(event)).content.decode()
    assert 'name="action"' not in ada.get(LIST).content.decode()


def test_name_of_a_subject_is_escaped(ada: Client) -> None:
    event = trail.record(
        "project.changed", ProjectFactory(name="<script>alert(1)</script>"), actor="user:ada"
    )
    for url in (LIST, page(event)):
        assert "<script>alert(1)" not in ada.get(url).content.decode()


def test_strangers_are_sent_to_sign_in(client: Client) -> None:
    assert client.get(LIST).headers["location"] == f"{reverse('admin:login')}?next={LIST}"


def test_users_who_are_not_staff_are_refused(client: Client) -> None:
    client.force_login(UserFactory())
    assert "not authorized to access this page" in client.get(LIST, follow=True).content.decode()


def test_actor_in_the_admin_is_the_user() -> None:
    assert of_user(UserFactory(username="grace")) == "user:grace"


def test_actor_on_the_command_line_is_the_user_of_the_operating_system(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "grace")
    assert of_command_line() == "cli:grace"


def test_actor_on_the_command_line_without_a_name_is_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(getpass, "getuser", unknown)
    assert of_command_line() == f"cli:{os.getuid()}"
