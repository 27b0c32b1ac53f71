"""A person's role, by command and by the management API."""

import io
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.management.base import CommandError

from audit.models import AuditEvent
from projects.access import ADMIN, OPERATOR, VIEWER
from tests.commands import run, run_json
from tests.factories import ProjectFactory, UserFactory
from tests.management import Manager, key_of, refusal

pytestmark = pytest.mark.django_db


def changes() -> list[Any]:
    events = AuditEvent.objects.filter(action="user.changed").order_by("sequence")
    return list(events.values_list("details", flat=True))


def test_a_role_is_set_and_taken_away_by_command() -> None:
    auditors = Group.objects.create(name="auditors")
    ada = UserFactory(username="ada")
    ada.groups.add(auditors)
    assert run_json("update_person", "ada", "--role", "viewer")["role"] == "viewer"
    assert run_json("update_person", "ada", "--role", "operator")["role"] == "operator"
    assert run("update_person", "ada", "--role", "operator") == "ada is as they already were.\n"
    assert User.objects.get(username="ada").is_staff

    assert run_json("update_person", "ada", "--role", "none")["role"] is None
    assert list(ada.groups.all()) == [auditors]
    assert changes() == [
        {
            "groups": {"before": ["auditors"], "after": ["auditors", "viewer"]},
            "is_staff": {"before": False, "after": True},
        },
        {"groups": {"before": ["auditors", "viewer"], "after": ["auditors", "operator"]}},
        {"groups": {"before": ["auditors", "operator"], "after": ["auditors"]}},
    ]


def test_people_are_listed_by_command() -> None:
    UserFactory(username="ada", superuser=True, email="ada@example.com")
    UserFactory(username="grace", role=VIEWER, is_active=False)
    _, ada, grace = run("list_people").splitlines()
    assert ada.split() == ["ada", "superuser", "active", "ada@example.com", "never"]
    assert grace.split() == ["grace", "viewer", "inactive", "-", "never"]


def test_a_person_is_made_by_command_with_the_password_that_comes_on_standard_input(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse battery\n"))
    facts = run_json("create_person", "grace", "--email", "grace@example.com", "--role", "viewer")
    assert (facts["role"], facts["email"], facts["is_superuser"]) == ("viewer", "grace@example.com", False)
    grace = User.objects.get(username="grace")
    assert grace.check_password("correct horse battery")
    assert grace.is_staff
    (event,) = AuditEvent.objects.filter(action="user.added")
    assert event.details == {"role": "viewer"}


def test_a_person_for_single_sign_on_has_no_password() -> None:
    assert run("create_person", "grace", "--no-password") == "grace may sign in.\n"
    assert not User.objects.get(username="grace").has_usable_password()


@pytest.mark.parametrize(
    ("user", "password", "message"),
    [("grace", "short", "password: This password is too short"), ("ada", "correct horse", "already exists")],
)
def test_a_person_that_cannot_be_made_is_not(
    monkeypatch: pytest.MonkeyPatch, user: str, password: str, message: str
) -> None:
    UserFactory(username="ada")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
    with pytest.raises(CommandError, match=message):
        run("create_person", user)
    assert User.objects.count() == 1


def test_a_person_is_made_by_api_once() -> None:
    manager = Manager.of_superuser()
    new = {"username": "grace", "role": "operator", "password": "correct horse battery"}
    made = manager.do("POST", "/people", new, **{"Idempotency-Key": "one"})
    assert manager.do("POST", "/people", new, **{"Idempotency-Key": "one"}) == made
    assert "password" not in made
    assert User.objects.get(username="grace").check_password("correct horse battery")
    assert refusal(manager.call("POST", "/people", new))[0] == 422
    assert refusal(manager.call("POST", "/people", {"username": "joan", "password": "x"}))[::2] == (
        422,
        "password",
    )


def test_who_may_only_add_people_gives_them_no_role() -> None:
    clerk = UserFactory(is_staff=True)
    clerk.user_permissions.add(Permission.objects.get(codename="add_user"))
    manager = Manager(key_of(clerk))
    assert refusal(manager.call("POST", "/people", {"username": "grace", "role": "admin"}))[:2] == (
        403,
        "not_permitted",
    )
    assert manager.do("POST", "/people", {"username": "grace"})["role"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ada"], "Say what to change"),
        (["nobody", "--role", "viewer"], "There is no user 'nobody'"),
        (["ada", "--role", "owner"], "invalid choice"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: list[str], message: str) -> None:
    UserFactory(username="ada")
    with pytest.raises(CommandError, match=message):
        run("update_person", *arguments)
    assert changes() == []


def test_a_person_is_shown_given_a_role_and_switched_off_by_api() -> None:
    manager = Manager.with_role(ADMIN)
    UserFactory(username="grace", role=OPERATOR, email="grace@example.com")
    shown = manager.ask("/people/grace")
    assert (shown["role"], shown["email"], shown["is_superuser"]) == ("operator", "grace@example.com", False)
    assert shown in manager.ask("/people")["data"]

    edits = {"role": None, "is_active": False}
    assert manager.do("PATCH", "/people/grace", edits) == {**shown, **edits}
    assert manager.do("PATCH", "/people/grace", {}) == {**shown, **edits}
    assert len(changes()) == 1
    assert refusal(manager.call("PATCH", "/people/grace", {"role": "owner"})) == (
        422,
        "invalid_value",
        "role",
    )
    assert refusal(manager.call("PATCH", "/people/nobody", edits)) == (404, "not_found", None)


def test_who_is_switched_off_can_no_longer_use_their_keys() -> None:
    linus = Manager.with_role(VIEWER, ProjectFactory())
    name = User.objects.get().username
    Manager.of_superuser().do("PATCH", f"/people/{name}", {"is_active": False})
    assert refusal(linus.call("GET", "/projects")) == (401, "invalid_api_key", None)


def test_pages_of_people_hold_each_once() -> None:
    manager = Manager.of_superuser()
    names = ["ada", *(UserFactory().username for _ in range(4))]
    first = manager.ask("/people", limit=3)
    rest = manager.ask("/people", limit=3, cursor=first["next_cursor"])
    assert [each["username"] for each in first["data"] + rest["data"]] == names[::-1]
