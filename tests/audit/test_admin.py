import csv
import getpass
import json
import os
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from audit import trail, verification
from audit.actors import of_command_line, of_user
from audit.models import AuditEvent
from projects.access import VIEWER
from tests.factories import ProjectFactory, UserFactory

pytestmark = pytest.mark.django_db
LIST = reverse("admin:audit_auditevent_changelist")
VERIFY = reverse("admin:audit_auditevent_verify")


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


def test_page_does_not_lead_to_a_history_that_is_empty(ada: Client, event: AuditEvent) -> None:
    assert page(event, "history") not in ada.get(page(event)).content.decode()


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


def test_chain_is_verified_by_a_click_and_the_list_shows_the_result(ada: Client, event: AuditEvent) -> None:
    assert "The chain was never verified." in ada.get(LIST).content.decode()
    assert ada.post(VERIFY).headers["location"] == LIST
    for _ in range(2):  # it stays
        html = ada.get(LIST).content.decode()
        assert '<p class="verdict-good" role="status"><strong>Chain verified: 1 events.</strong>' in html
        assert "by user:ada" in html
    AuditEvent.objects.update(actor="user:eve")
    html = ada.post(VERIFY, follow=True).content.decode()
    assert '"verdict-bad" role="status"><strong>Chain broken at event 1: it is not what was recorded' in html


def test_list_reads_neither_all_dates_nor_all_events(ada: Client, event: AuditEvent) -> None:
    """Each of these takes seconds of some 100,000 events: the trail is not read to show its list."""
    with CaptureQueriesContext(connection) as asked:
        ada.get(LIST)
    of_events = [query["sql"] for query in asked if "audit_auditevent" in query["sql"]]
    assert len(of_events) == 3  # how many there are, which actions (by its index), and a page of them
    assert not [sql for sql in of_events if "trunc" in sql.lower() or "MIN(" in sql]


def test_chain_is_verified_by_those_who_see_all_of_it(client: Client, event: AuditEvent) -> None:
    client.force_login(UserFactory(role=VIEWER))
    assert client.post(VERIFY).status_code == 403
    html = client.get(LIST).content.decode()
    assert VERIFY not in html
    assert "never verified" not in html


def test_chain_is_not_verified_by_following_a_link(ada: Client) -> None:
    assert ada.get(VERIFY).status_code == 405
    assert verification.newest() is None


async def test_trail_is_exported_as_it_is_filtered(async_client: AsyncClient, transactional_db: None) -> None:
    sign_in = sync_to_async(async_client.force_login)
    await sign_in(await sync_to_async(UserFactory)(superuser=True, username="ada"))
    for name in ("=cmd()", "beta"):
        await sync_to_async(trail.record_act)("a.done", "thing", actor="user:ada", subject_name=name)
    await sync_to_async(trail.record_act)("b.done", "thing", actor="user:ada")
    csv_rows = list(csv.DictReader((await exported(async_client, "csv", action="a.done")).splitlines()))
    lines = [json.loads(line) for line in (await exported(async_client, "jsonl")).splitlines()]
    assert [row["subject_name"] for row in csv_rows] == ["beta", "'=cmd()"]
    assert [line["action"] for line in lines] == ["b.done", "a.done", "a.done"]
    assert lines[0]["previous_hash"] == lines[1]["hash"]


async def exported(client: AsyncClient, kind: str, **filters: str) -> str:
    url = reverse("admin:audit_auditevent_export", args=[kind])
    response: Any = await client.get(url, filters)
    assert response.headers["content-disposition"] == f'attachment; filename="audit.{kind}"'
    return b"".join([piece async for piece in response]).decode()


def test_export_is_of_known_kinds_and_for_those_who_may_see(client: Client, ada: Client) -> None:
    assert ada.get(reverse("admin:audit_auditevent_export", args=["xlsx"])).status_code == 404
    client.force_login(UserFactory(is_staff=True))
    assert client.get(reverse("admin:audit_auditevent_export", args=["csv"])).status_code == 403


async def test_members_export_the_events_of_their_projects(
    async_client: AsyncClient, transactional_db: None
) -> None:
    mine, other = await sync_to_async(ProjectFactory.create_batch)(2)
    for project in (mine, other):
        act = sync_to_async(trail.record)
        await act("a.done", project, actor="user:ada", project_id=project.id)
    viewer = await sync_to_async(UserFactory)(role=VIEWER, projects=[mine])
    await sync_to_async(async_client.force_login)(viewer)
    (line,) = (await exported(async_client, "jsonl")).splitlines()
    assert json.loads(line)["project_id"] == str(mine.id)
