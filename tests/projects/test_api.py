import pytest

from audit.models import AuditEvent
from projects.access import ADMIN, OPERATOR, VIEWER
from projects.models import Project, UpstreamKey
from tests.factories import UPSTREAM_KEY, ProjectFactory
from tests.management import Manager, refusal

pytestmark = pytest.mark.django_db
SECOND_KEY = "sk-second-upstream-key-9876MNOP"


@pytest.fixture
def ada() -> Manager:
    return Manager.of_superuser()


def actions() -> list[str]:
    return list(
        AuditEvent.objects.exclude(action__startswith="api_key")
        .order_by("id")
        .values_list("action", flat=True)
    )


def test_a_project_is_made_with_its_key_and_the_key_is_told_to_nobody(ada: Manager) -> None:
    body = {
        "name": "alpha",
        "upstream_key": UPSTREAM_KEY,
        "default_ttl": "12h",
        "monthly_budget_usd": "50",
        "death_policy": "finish",
        "rules": {"models": ["gpt-4o*"]},
    }
    response = ada.call("POST", "/projects", body)
    assert response.status_code == 201
    assert UPSTREAM_KEY not in response.content.decode()

    project = Project.objects.get(name="alpha")
    assert project.upstream_keys.get().reveal() == UPSTREAM_KEY
    assert (project.death_policy, project.monthly_budget_microusd) == ("finish", 50_000_000)
    shown = ada.ask(f"/projects/{project.id}")
    assert (shown["default_ttl"], shown["upstream_keys"]) == ("12h", [f"…{UPSTREAM_KEY[-4:]}"])
    assert actions() == ["project.created", "upstream_key.added"]


@pytest.mark.parametrize(
    ("edits", "param"),
    [
        ({"name": "taken"}, "name"),
        ({"base_url": "ftp://example.com"}, "base_url"),
        ({"provider": "nobody"}, "provider"),
        ({"default_ttl": "never"}, "default_ttl"),
        ({"default_ttl": "2d", "longest_ttl": "1d"}, "default_ttl"),
        ({"unpriced_policy": "flat"}, "flat_price_usd"),
        ({"drain_seconds": 601}, "drain_seconds"),
        ({"death_policy": "linger"}, "death_policy"),
        ({"capture_policy": "some"}, "capture_policy"),
        ({"capture_sample": 1.5}, "capture_sample"),
        ({"capture_max_bytes": 2**21}, "capture_max_bytes"),
        ({"capture_retention": "31d"}, "capture_retention"),
        ({"capture_retention": "59m"}, "capture_retention"),
        ({"capture_redacted": ["messages..content"]}, "capture_redacted"),
        ({"permits_never": "yes"}, "permits_never"),
        ({"upstream_key": SECOND_KEY}, "upstream_key"),
    ],
)
def test_a_project_is_not_changed_to_what_it_cannot_be(ada: Manager, edits: object, param: str) -> None:
    ProjectFactory(name="taken")
    project = ProjectFactory(name="alpha")
    assert refusal(ada.call("PATCH", f"/projects/{project.id}", edits)) == (422, "invalid_value", param)
    assert actions() == []


def test_a_project_is_changed_and_null_takes_away(ada: Manager) -> None:
    project = ProjectFactory(base_url="https://one.example/v1", max_requests=5, rules={"models": ["a"]})
    edits = {"name": "renamed", "base_url": None, "max_requests": None, "rules": None}
    changed = ada.do("PATCH", f"/projects/{project.id}", edits)
    assert {name: changed[name] for name in edits} == edits
    project.refresh_from_db()
    assert (project.base_url, project.rules) == ("", {})
    assert actions() == ["project.changed"]


def test_a_base_url_is_kept_without_the_slash_at_its_end(ada: Manager) -> None:
    project = ProjectFactory(base_url="https://one.example/v1")
    for edit, kept in (
        ("https://one.example/v1/", "https://one.example/v1"),
        ("http://two/v1/", "http://two/v1"),
    ):
        assert ada.do("PATCH", f"/projects/{project.id}", {"base_url": edit})["base_url"] == kept
    assert actions() == ["project.changed"]


def test_a_project_is_switched_off_and_on_but_not_deleted(ada: Manager) -> None:
    project = ProjectFactory()
    path = f"/projects/{project.id}"
    assert ada.do("PATCH", path, {"is_active": False})["is_active"] is False
    assert ada.do("PATCH", path, {"is_active": False})["is_active"] is False
    assert ada.do("PATCH", path, {"is_active": True})["is_active"] is True
    assert actions() == ["project.deactivated", "project.activated"]

    refused = ada.call("DELETE", path)
    assert refusal(refused) == (405, "method_not_allowed", None)
    assert refused.headers["Allow"] == "GET, PATCH"


def test_projects_are_filtered(ada: Manager) -> None:
    alpha = ProjectFactory(name="Alpha")
    off = ProjectFactory(name="beta", is_active=False)
    assert [each["id"] for each in ada.ask("/projects", name="alph")["data"]] == [str(alpha.id)]
    assert [each["id"] for each in ada.ask("/projects", is_active=False)["data"]] == [str(off.id)]


def test_a_key_is_added_weighed_and_switched_off(ada: Manager) -> None:
    project = ProjectFactory()
    path = f"/projects/{project.id}/keys"
    response = ada.call("POST", path, {"key": SECOND_KEY, "name": "spare", "weight": 3})
    assert response.status_code == 201
    assert SECOND_KEY not in response.content.decode()

    added = UpstreamKey.objects.get(name="spare")
    assert (added.reveal(), added.weight) == (SECOND_KEY, 3)
    changed = ada.do("PATCH", f"{path}/{added.id}", {"is_active": False})
    assert (changed["is_active"], changed["name"], changed["key"]) == (False, "spare", f"…{SECOND_KEY[-4:]}")
    assert len(ada.ask(path)["data"]) == 2
    assert actions() == ["upstream_key.added", "upstream_key.deactivated"]


def test_a_key_is_changed_under_its_own_project_only(ada: Manager) -> None:
    key = ProjectFactory().upstream_keys.get()
    refused = ada.call("PATCH", f"/projects/{ProjectFactory().id}/keys/{key.id}", {"weight": 2})
    assert refusal(refused) == (404, "not_found", None)


def test_members_see_their_projects_and_only_admins_change_them() -> None:
    mine, foreign = ProjectFactory(), ProjectFactory()
    for role in (VIEWER, OPERATOR):
        member = Manager.with_role(role, mine)
        assert [each["id"] for each in member.ask("/projects")["data"]] == [str(mine.id)]
        assert refusal(member.call("GET", f"/projects/{foreign.id}")) == (404, "not_found", None)
        assert refusal(member.call("GET", f"/projects/{foreign.id}/keys")) == (404, "not_found", None)
        refused = member.call("PATCH", f"/projects/{mine.id}", {"name": "x"})
        assert refusal(refused) == (403, "not_permitted", None)
    admin = Manager.with_role(ADMIN)
    assert len(admin.ask("/projects")["data"]) == 2
    assert admin.do("PATCH", f"/projects/{foreign.id}", {"name": "x"})["name"] == "x"
