import pytest
from django.apps.registry import Apps
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command

from llm_proxy_site.roles import OPERATOR_MAY, VIEWER_MAY, make_roles
from projects.access import ADMIN, OPERATOR, VIEWER

pytestmark = pytest.mark.django_db


def may(role: str) -> set[str]:
    permissions = Group.objects.get(name=role).permissions.select_related("content_type")
    return {f"{permission.content_type.app_label}.{permission.codename}" for permission in permissions}


def test_roles_are_there_with_their_permissions() -> None:
    assert may(VIEWER) == set(VIEWER_MAY)
    assert may(OPERATOR) == set(OPERATOR_MAY)
    assert may(ADMIN) >= {"projects.see_all_projects", "auth.change_user", "projects.add_membership"}


def test_migrate_brings_back_what_was_changed_and_keeps_who_is_in_them() -> None:
    group = Group.objects.get(name=VIEWER)
    group.user_set.create(username="grace")
    group.permissions.set(Permission.objects.filter(codename="change_user"))
    Group.objects.get(name=OPERATOR).delete()
    call_command("migrate", verbosity=0)
    assert (may(VIEWER), may(OPERATOR)) == (set(VIEWER_MAY), set(OPERATOR_MAY))
    assert list(group.user_set.values_list("username", flat=True)) == ["grace"]


def test_roles_are_made_before_django_has_made_the_permissions() -> None:
    """As at the first `migrate`: ours is told before the apps that come after it."""
    Permission.objects.all().delete()
    make_roles()
    assert may(OPERATOR) == set(OPERATOR_MAY)


def test_no_roles_are_made_where_there_are_no_people_yet() -> None:
    make_roles(apps=Apps())
