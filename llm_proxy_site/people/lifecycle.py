"""What can be done to a person by command and by the management API. Every act is one transaction with its
audit event, which says what the admin site's says.
"""

from typing import Any

from django.contrib.auth.models import Group, User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction

from audit import trail
from projects.access import ROLES


@transaction.atomic
def create_person(username: str, *, email: str = "", role: str | None, password: str, actor: str) -> User:
    """Somebody who may sign in to the admin site. Without a password it is single sign-on that lets them in.
    Raises ValidationError.
    """
    user = User(username=username, email=email, is_staff=True)
    if password:
        _require_good(password, user)
        user.set_password(password)
    else:
        user.set_unusable_password()
    user.full_clean()
    user.save()
    if role is not None:
        _set_role(user, role)
    trail.record("user.added", user, actor=actor, details={"role": role})
    return user


@transaction.atomic
def update_person(user: User, *, actor: str, **edits: Any) -> bool:
    """Change `role` (one of ROLES; None: none) or `is_active`, by name; True if that was a change. Groups
    that are no roles stay. Who is given a role may sign in to the admin site.
    """
    user.refresh_from_db(from_queryset=User.objects.select_for_update())
    before = _facts(user)
    if "role" in edits:
        _set_role(user, edits["role"])
    user.is_active = edits.get("is_active", user.is_active)
    after = _facts(user)
    changes = {
        field: {"before": before[field], "after": after[field]}
        for field in before
        if before[field] != after[field]
    }
    if not changes:
        return False
    user.save(update_fields=["is_active", "is_staff"])
    trail.record("user.changed", user, actor=actor, details=changes)
    return True


def _require_good(password: str, user: User) -> None:
    """Raises ValidationError."""
    try:
        validate_password(password, user)
    except ValidationError as problem:
        raise ValidationError({"password": problem.messages}) from None


def _set_role(user: User, role: str | None) -> None:
    user.groups.remove(*Group.objects.filter(name__in=set(ROLES) - {role}))
    if role is not None:
        user.groups.add(Group.objects.get(name=role))
        user.is_staff = True


def _facts(user: User) -> dict[str, Any]:
    groups = sorted(user.groups.values_list("name", flat=True))
    return {"groups": groups, "is_staff": user.is_staff, "is_active": user.is_active}
