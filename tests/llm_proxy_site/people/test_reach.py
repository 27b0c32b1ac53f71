"""What each person gets of the admin's pages: nothing of a project that is not theirs."""

from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from audit import trail
from audit.models import AuditEvent
from projects.access import ADMIN, OPERATOR, VIEWER
from projects.models import Membership, Project
from tests.factories import AccessTokenFactory, ProjectFactory, UsageRecordFactory, UserFactory
from tokens.models import AccessToken

pytestmark = pytest.mark.django_db
SCOPED = ["projects_project", "tokens_accesstoken", "usage_usagerecord", "audit_auditevent"]
ALL = [f"{model._meta.app_label}_{model._meta.model_name}" for model in admin.site._registry]


@dataclass(frozen=True)
class World:
    """Two projects, each with a token, a request and an event; the second is nobody's."""

    mine: dict[str, Any]
    other: dict[str, Any]


OWN_KEYS = "llm_proxy_site_apikey"
"""Everybody has keys of their own: tests/llm_proxy_site/test_api_keys.py."""


@pytest.fixture
def world() -> World:
    return World(_rows("my-own"), _rows("foreign"))


def _rows(name: str) -> dict[str, Any]:
    token = AccessTokenFactory(project=ProjectFactory(name=name), name=f"{name}-token")
    record = UsageRecordFactory(token=token)
    event = trail.record("token.seen", token, actor=f"user:{name}", project_id=token.project_id)
    return dict(zip(SCOPED, (token.project, token, record, event), strict=True))


def member(client: Client, world: World, role: str) -> None:
    client.force_login(UserFactory(role=role, projects=[world.mine["projects_project"]]))


def page(model: str, row: Any, view: str = "change") -> str:
    return reverse(f"admin:{model}_{view}", args=[row.pk])


@pytest.mark.parametrize("role", [VIEWER, OPERATOR])
@pytest.mark.parametrize("model", SCOPED)
def test_members_see_their_projects_and_no_trace_of_others(
    client: Client, world: World, model: str, role: str
) -> None:
    member(client, world, role)
    html = client.get(reverse(f"admin:{model}_changelist")).content.decode()
    assert "my-own" in html
    assert "foreign" not in html
    assert client.get(page(model, world.mine[model])).status_code == 200
    for view in ("change", "history"):
        response = client.get(page(model, world.other[model], view), follow=True)
        assert "foreign" not in response.content.decode()
        assert response.redirect_chain == [(reverse("admin:index"), 302)]


@pytest.mark.parametrize("model", SCOPED)
def test_admins_see_all(client: Client, world: World, model: str) -> None:
    client.force_login(UserFactory(role=ADMIN))
    html = client.get(reverse(f"admin:{model}_changelist")).content.decode()
    assert "my-own" in html
    assert "foreign" in html


@pytest.mark.parametrize("model", ALL)
@pytest.mark.parametrize("person", [None, {}, {"is_staff": True}])
def test_pages_refuse_whoever_has_no_role(client: Client, person: dict[str, Any] | None, model: str) -> None:
    if person is not None:
        client.force_login(UserFactory(**person, projects=[ProjectFactory()]))
    for view in ("changelist", "add"):
        answer = client.get(reverse(f"admin:{model}_{view}"))
        assert (answer.status_code, person) == (403, {"is_staff": True}) or (
            answer.status_code == 302 and answer.headers["location"].startswith(reverse("admin:login"))
        )


@pytest.mark.parametrize("role", [VIEWER, OPERATOR])
@pytest.mark.parametrize(
    "model", sorted(set(ALL) - set(SCOPED) - {"usage_modelprice", "tokens_trustrule", OWN_KEYS})
)
def test_people_are_for_admins(client: Client, role: str, model: str) -> None:
    client.force_login(UserFactory(role=role))
    assert client.get(reverse(f"admin:{model}_changelist")).status_code == 403


@pytest.mark.parametrize("role", [VIEWER, OPERATOR])
def test_projects_and_prices_are_changed_by_admins_only(client: Client, world: World, role: str) -> None:
    member(client, world, role)
    project = world.mine["projects_project"]
    for model in ("projects_project", "usage_modelprice"):
        assert client.post(reverse(f"admin:{model}_add"), {"name": "new", "model": "new"}).status_code == 403
    assert client.post(page("projects_project", project), {"name": "new"}).status_code == 403
    client.post(
        reverse("admin:projects_project_changelist"),
        {"action": "deactivate", "_selected_action": [project.pk]},
    )
    assert list(Project.objects.filter(is_active=True).order_by("id")) == [
        project,
        world.other["projects_project"],
    ]


def test_operators_issue_in_their_projects_only(client: Client, world: World) -> None:
    member(client, world, OPERATOR)
    add = reverse("admin:tokens_accesstoken_add")
    assert "foreign" not in client.get(add).content.decode()
    for rows in (world.other, world.mine):
        client.post(add, {"project": rows["projects_project"].pk, "name": "new", "lifetime": "1h"})
    issued = AccessToken.objects.get(name="new")
    assert issued.project == world.mine["projects_project"]


def test_operators_revoke_in_their_projects_only(client: Client, world: World) -> None:
    member(client, world, OPERATOR)
    mine, other = world.mine["tokens_accesstoken"], world.other["tokens_accesstoken"]
    for token in (mine, other):
        client.post(page("tokens_accesstoken", token), {"_revoke": "Revoke"})
    assert list(AccessToken.objects.filter(revoked_at=None)) == [other]
    chosen = {"action": "reactivate_selected", "_selected_action": [mine.pk, other.pk]}
    client.post(reverse("admin:tokens_accesstoken_changelist"), chosen)
    chosen["action"] = "revoke_selected"
    client.post(reverse("admin:tokens_accesstoken_changelist"), chosen)
    assert list(AccessToken.objects.filter(revoked_at=None)) == [other]


def test_events_of_no_project_are_for_those_who_see_all(client: Client, world: World) -> None:
    trail.record_act("database.restored", "database", actor="cli:grace")
    member(client, world, VIEWER)
    changelist = reverse("admin:audit_auditevent_changelist")
    assert "database.restored" not in client.get(changelist).content.decode()
    client.force_login(UserFactory(role=ADMIN))
    assert "database.restored" in client.get(changelist).content.decode()


def test_autocomplete_finds_no_one_elses(client: Client, world: World) -> None:
    member(client, world, OPERATOR)
    query = {"app_label": "tokens", "model_name": "accesstoken", "field_name": "project", "term": "o"}
    found = client.get(reverse("admin:autocomplete"), query).json()["results"]
    assert [result["text"] for result in found] == ["my-own"]


def test_admins_add_and_remove_members(client: Client, world: World) -> None:
    client.force_login(UserFactory(role=ADMIN, username="ada"))
    project, grace = world.mine["projects_project"], UserFactory(username="grace")
    form = {"memberships-TOTAL_FORMS": 1, "memberships-INITIAL_FORMS": 0, "memberships-0-user": grace.pk}
    client.post(page("projects_project", project), project_form(project) | form)
    membership = Membership.objects.get()
    assert (membership.user, membership.project) == (grace, project)
    form = {"memberships-TOTAL_FORMS": 1, "memberships-INITIAL_FORMS": 1}
    form |= {"memberships-0-id": membership.pk, "memberships-0-DELETE": "on"}
    client.post(page("projects_project", project), project_form(project) | form)
    assert not Membership.objects.exists()
    events = AuditEvent.objects.filter(actor="user:ada").order_by("id").values_list("action", flat=True)
    assert list(events) == ["project.member_added", "project.member_removed"]


def project_form(project: Project) -> dict[str, Any]:
    key = project.upstream_keys.get()
    return {
        "name": project.name,
        "death_policy": "cut",
        "disconnect_policy": "cancel",
        "drain_seconds": 60,
        "unpriced_policy": "allow",
        "rules": "",
        "capture_policy": "off",
        "capture_sample": "1.0",
        "capture_max_bytes": "65536",
        "capture_retention": "7d",
        "capture_redacted": "",
        "capture_redacts_addresses": "on",
        "upstream_keys-TOTAL_FORMS": 1,
        "upstream_keys-INITIAL_FORMS": 1,
        "upstream_keys-0-id": key.pk,
        "upstream_keys-0-project": project.pk,
        "upstream_keys-0-weight": 1,
        "upstream_keys-0-is_active": "on",
    }
