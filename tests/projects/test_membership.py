"""Who sees a project, by command and by the management API."""

import pytest
from django.contrib.auth.models import Permission
from django.core.management.base import CommandError

from audit.models import AuditEvent
from projects.access import OPERATOR, VIEWER
from projects.models import Membership, Project
from tests.commands import run, run_json
from tests.factories import ProjectFactory, UserFactory
from tests.management import Manager, key_of, refusal

pytestmark = pytest.mark.django_db


@pytest.fixture
def web() -> Project:
    return ProjectFactory(name="web")


def actions() -> list[str]:
    events = AuditEvent.objects.filter(action__startswith="project.").order_by("sequence")
    return list(events.values_list("action", flat=True))


def test_members_are_added_listed_and_removed_by_command(web: Project) -> None:
    UserFactory(username="ada", role=OPERATOR, projects=[ProjectFactory(name="api")])
    assert run("add_member", "web", "ada") == "ada is a member of web.\n"
    assert run("add_member", str(web.id), "ada") == "ada is a member of web. It already was so.\n"

    listed = run_json("list_members", "--user", "ada")
    assert [(each["project"], each["role"]) for each in listed] == [("api", "operator"), ("web", "operator")]
    (of_web,) = run_json("list_members", "web")
    assert (of_web["username"], of_web["is_active"]) == ("ada", True)
    assert run("list_members", "web").splitlines()[1].split()[:4] == ["web", "ada", "operator", "active"]

    assert run_json("remove_member", "web", "ada")["changed"] is True
    assert run_json("remove_member", "web", "ada")["changed"] is False
    assert run_json("list_members", "web") == []
    assert actions() == ["project.member_added", "project.member_removed"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["add_member", "none", "ada"], "There is no project 'none'"),
        (["add_member", "web", "nobody"], "There is no user 'nobody'"),
        (["list_members", "--user", "nobody"], "There is no user 'nobody'"),
    ],
)
def test_what_cannot_be_done_is_said(web: Project, arguments: list[str], message: str) -> None:
    UserFactory(username="ada")
    with pytest.raises(CommandError, match=message):
        run(*arguments)


def test_members_are_added_listed_and_removed_by_api(web: Project) -> None:
    manager, path = Manager.of_superuser(), f"/projects/{web.id}/members"
    UserFactory(username="grace", role=VIEWER)
    added = manager.do("PUT", f"{path}/grace")
    assert manager.do("PUT", f"{path}/grace") == added
    assert (added["project"], added["role"], added["is_active"]) == ("web", "viewer", True)
    assert manager.ask(path)["data"] == [added]
    assert manager.do("DELETE", f"{path}/grace") == added
    for method, name in (("DELETE", "grace"), ("PUT", "nobody")):
        assert refusal(manager.call(method, f"{path}/{name}")) == (404, "not_found", None)
    assert actions() == ["project.member_added", "project.member_removed"]


def test_pages_of_members_hold_each_once(web: Project) -> None:
    manager, path = Manager.of_superuser(), f"/projects/{web.id}/members"
    names = [UserFactory(projects=[web]).username for _ in range(3)]
    first = manager.ask(path, limit=2)
    rest = manager.ask(path, limit=2, cursor=first["next_cursor"])
    assert [each["username"] for each in first["data"] + rest["data"]] == names[::-1]


def test_who_sees_one_project_has_to_do_with_its_members_only(web: Project) -> None:
    linus = UserFactory(projects=[web])
    linus.user_permissions.set(Permission.objects.filter(codename__endswith="_membership"))
    manager, foreign = Manager(key_of(linus)), ProjectFactory()
    UserFactory(username="grace", projects=[foreign])
    manager.do("PUT", f"/projects/{web.id}/members/grace")
    for method in ("PUT", "DELETE"):
        refused = manager.call(method, f"/projects/{foreign.id}/members/grace")
        assert refusal(refused) == (404, "not_found", None)
    assert Membership.objects.filter(project=foreign).count() == 1
