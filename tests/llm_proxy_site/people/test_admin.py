from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from audit.models import AuditEvent
from projects.access import ADMIN, OPERATOR, VIEWER
from tests.factories import UserFactory, stored_text

pytestmark = pytest.mark.django_db
ADD = reverse("admin:auth_user_add")
PASSWORD = "correct horse battery staple"


@pytest.fixture
def ada(client: Client) -> Client:
    client.force_login(UserFactory(role=ADMIN, username="ada"))
    return client


def page(user: User, view: str = "change") -> str:
    return reverse(f"admin:auth_user_{view}", args=[user.pk])


def change_form(user: User, **values: Any) -> dict[str, Any]:
    """What a browser would send from the change page."""
    joined, time = user.date_joined.strftime("%Y-%m-%d %H:%M:%S").split()
    form = {"username": user.username, "is_active": "on", "date_joined_0": joined, "date_joined_1": time}
    return form | values


def test_person_is_added_with_its_trace_and_without_the_password(ada: Client) -> None:
    form = {"username": "grace", "usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
    ada.post(ADD, form)
    event = AuditEvent.objects.get()
    assert User.objects.get(username="grace").check_password(PASSWORD)
    assert (event.action, event.actor, event.subject_name) == ("user.added", "user:ada", "grace")
    assert event.details == {"username": {"before": None, "after": "grace"}}
    assert PASSWORD not in stored_text()


def test_role_is_given_with_before_and_after(ada: Client) -> None:
    grace = UserFactory(role=VIEWER, username="grace")
    User.objects.update(date_joined=grace.date_joined.replace(microsecond=0))
    operator = Group.objects.get(name=OPERATOR)
    ada.post(page(grace), change_form(grace, is_staff="on", groups=[operator.pk]))
    event = AuditEvent.objects.get()
    assert list(grace.groups.all()) == [operator]
    assert (event.action, event.details) == (
        "user.changed",
        {"groups": {"before": ["viewer"], "after": ["operator"]}},
    )


def test_saving_a_person_without_an_edit_leaves_no_event(ada: Client) -> None:
    grace = UserFactory(username="grace")
    User.objects.update(date_joined=grace.date_joined.replace(microsecond=0))
    assert ada.post(page(grace), change_form(grace)).status_code == 302
    assert not AuditEvent.objects.exists()


def test_password_is_changed_with_a_trace_that_does_not_have_it(ada: Client) -> None:
    grace = UserFactory(username="grace")
    url = reverse("admin:auth_user_password_change", args=[grace.pk])
    form = {"password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}
    ada.post(url, form | {"password2": "another"})
    assert not AuditEvent.objects.exists()
    ada.post(url, form | {"set-password": "1"})
    grace.refresh_from_db()
    event = AuditEvent.objects.get()
    assert grace.check_password(PASSWORD)
    assert (event.action, event.subject_name, event.details) == ("user.password_changed", "grace", {})


def test_people_are_removed_with_their_trace(ada: Client) -> None:
    one, two = UserFactory(username="grace"), UserFactory(username="linus")
    ada.post(page(one, "delete"), {"post": "yes"})
    chosen = {"action": "delete_selected", "_selected_action": [two.pk], "post": "yes"}
    ada.post(reverse("admin:auth_user_changelist"), chosen)
    events = AuditEvent.objects.order_by("id").values_list("action", "subject_name")
    assert list(events) == [("user.removed", "grace"), ("user.removed", "linus")]
    assert list(User.objects.values_list("username", flat=True)) == ["ada"]


def test_list_shows_the_roles(ada: Client) -> None:
    UserFactory(role=OPERATOR, username="grace")
    html = ada.get(reverse("admin:auth_user_changelist")).content.decode()
    assert '<td class="field-roles">operator</td>' in html
