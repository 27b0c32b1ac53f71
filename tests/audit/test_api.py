import json
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import AsyncClient
from django.utils import timezone

from audit import trail
from audit.models import AuditEvent
from audit.origin import Origin, acting_from
from projects.access import VIEWER
from projects.models import Project
from tests.factories import ProjectFactory
from tests.management import Manager, refusal

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> Manager:
    return Manager.of_superuser()


@pytest.fixture
def event() -> AuditEvent:
    project = ProjectFactory(name="alpha")
    with acting_from(Origin("192.0.2.7")):
        return trail.record(
            "project.changed", project, actor="user:grace", project_id=project.id, details={"name": "x"}
        )


def test_events_are_listed_the_latest_first_and_shown(ada: Manager, event: AuditEvent) -> None:
    later = trail.record("project.activated", ProjectFactory(), actor="user:linus")
    listed = [each["id"] for each in ada.ask("/audit")["data"]]
    assert listed[:2] == [str(later.id), str(event.id)]
    shown = ada.ask(f"/audit/{event.id}")
    assert (shown["actor"], shown["action"], shown["details"]) == (
        "user:grace",
        "project.changed",
        {"name": "x"},
    )


def test_events_are_filtered(ada: Manager, event: AuditEvent) -> None:
    trail.record("token.revoked", ProjectFactory(name="beta"), actor="user:linus")
    hour_ago = timezone.now() - timedelta(hours=1)
    for query in (
        {"actor": "user:grace"},
        {"action": "project.changed"},
        {"subject_id": event.subject_id},
        {"project_id": event.project_id},
        {"address": "192.0.2.7"},
        {"search": "ALPH"},
        {"search": "grace", "since": hour_ago.isoformat()},
    ):
        assert [each["id"] for each in ada.ask("/audit", **query)["data"]] == [str(event.id)], query
    assert ada.ask("/audit", until=hour_ago.isoformat())["data"] == []


def test_members_see_what_happened_to_their_projects(event: AuditEvent) -> None:
    foreign = trail.record("project.changed", project := ProjectFactory(), actor="a", project_id=project.id)
    of_none = trail.record_act("database.restored", "database", actor="cli:root")
    linus = Manager.with_role(VIEWER, Project.objects.get(pk=event.subject_id))
    assert [each["id"] for each in linus.ask("/audit")["data"]] == [str(event.id)]
    for hidden in (foreign, of_none):
        assert refusal(linus.call("GET", f"/audit/{hidden.id}")) == (404, "not_found", None)


def test_the_chain_is_verified_and_the_result_stays(ada: Manager, event: AuditEvent) -> None:
    never = ada.ask("/audit/verification")
    assert set(never.values()) == {None}
    found = ada.do("POST", "/audit/verification")
    assert (found["is_intact"], found["broken_at"], found["problem"]) == (True, None, None)
    assert found["actor"].startswith("api:ada/")
    assert ada.ask("/audit/verification") == found

    AuditEvent.objects.filter(pk=event.pk).update(actor="user:eve")
    found = ada.do("POST", "/audit/verification")
    assert (found["is_intact"], found["broken_at"]) == (False, event.sequence)
    assert found["events"] == event.sequence - 1
    assert "it is not what was recorded" in found["problem"]
    assert ada.ask("/audit/verification") == found


def test_the_chain_is_verified_by_those_who_see_all_of_it(event: AuditEvent) -> None:
    linus = Manager.with_role(VIEWER, Project.objects.get(pk=event.subject_id))
    for method in ("GET", "POST"):
        assert refusal(linus.call(method, "/audit/verification")) == (403, "not_permitted", None)


async def exported(manager: Manager, **filters: str) -> list[Any]:
    headers = {"Authorization": f"Bearer {manager.plain}"}
    response: Any = await AsyncClient().get("/manage/audit/export", filters, headers=headers)
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/jsonl")
    return [json.loads(line) for line in b"".join([piece async for piece in response]).splitlines()]


async def test_events_are_exported_as_they_are_filtered_and_as_they_can_be_seen(
    transactional_db: None,
) -> None:
    mine, other = await sync_to_async(ProjectFactory.create_batch)(2)
    for project in (mine, other):
        act = sync_to_async(trail.record)
        await act("a.done", project, actor="user:grace", project_id=project.id)
    ada = await sync_to_async(Manager.of_superuser)()
    linus = await sync_to_async(Manager.with_role)(VIEWER, mine)
    lines = await exported(ada, actor="user:grace")
    assert [line["project_id"] for line in lines] == [str(other.id), str(mine.id)]
    assert lines[0]["previous_hash"] == lines[1]["hash"]
    assert [line["project_id"] for line in await exported(linus)] == [str(mine.id)]


def test_a_filter_of_the_export_that_is_not_known_is_refused(ada: Manager) -> None:
    for query in ("limit=5", "actr=x"):
        assert refusal(ada.call("GET", f"/audit/export?{query}"))[:2] == (422, "invalid_value")
