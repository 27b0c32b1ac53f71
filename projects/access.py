"""Who may see and do what: a role says what (Django's permissions), a membership says of which projects.

The roles are groups, which `llm_proxy_site.roles` makes. Rows of a person's projects:
`objects.visible_to(user)` of Project and of AccessToken, `within_reach` of whatever else names a project.
Nobody else decides.
"""

from typing import Any, TypeVar
from uuid import UUID

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import QuerySet

from projects.membership import Membership

Person = User | AnonymousUser
Rows = TypeVar("Rows", bound=QuerySet[Any])

VIEWER = "viewer"
"""Sees."""
OPERATOR = "operator"
"""Issues, rotates and revokes tokens too."""
ADMIN = "admin"
"""Does everything, in all projects."""
ROLES = (ADMIN, OPERATOR, VIEWER)
"""The one that may most comes first."""


def may_view(user: Person) -> bool:
    """Whether they may see anything at all, of the projects that they can see."""
    return user.has_perm("projects.view_project")


def may_operate(user: Person) -> bool:
    """Whether they may issue, change, rotate and revoke tokens, of the projects that they can see."""
    return user.has_perms(["tokens.add_accesstoken", "tokens.change_accesstoken"])


def may_administer(user: Person) -> bool:
    """Whether they may change everything: projects, upstream keys, prices, people."""
    return sees_all(user) and user.has_perms(["projects.change_project", "auth.change_user"])


def sees_all(user: Person) -> bool:
    """Whether they see all projects, and what is of none. Superusers do."""
    return user.has_perm("projects.see_all_projects")


def role_of(user: User) -> str | None:
    """As it is in our groups; superusers need none."""
    groups = {group.name for group in user.groups.all()}
    return next((role for role in ROLES if role in groups), None)


def visible_project_ids(user: Person) -> set[UUID] | None:
    """Of the projects that they can see; None: of all."""
    return None if sees_all(user) else set(memberships_of(user).values_list("project_id", flat=True))


def memberships_of(user: Person) -> QuerySet[Membership]:
    """None, of strangers and of people who are switched off."""
    if user.pk is None:
        return Membership.objects.none()
    return Membership.objects.filter(user_id=user.pk, user__is_active=True)


def within_reach(rows: Rows, user: Person) -> Rows:
    """Those of `rows` whose `project_id` is of a project that they can see."""
    ids = visible_project_ids(user)
    return rows if ids is None else rows.filter(project_id__in=ids)
