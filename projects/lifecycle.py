"""What can be done to a project. Every act is one transaction with its audit event."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction

from audit import trail
from projects.capture import check_capture
from projects.edits import edit, fact
from projects.limits import BUDGETS, LIMITS
from projects.models import Membership, Project, UpstreamKey, validate_key
from projects.policy import check_limits, check_policy
from projects.providers import check_provider


@transaction.atomic
def create_project(*, name: str, upstream_key: str, base_url: str = "", actor: str, **rules: Any) -> Project:
    """A new project with its first upstream key. `rules`: what it says of its upstream, its
    policy and limits, by field.

    Raises ValidationError for a bad name, key, URL or rule.
    """
    project = Project(name=name.strip(), base_url=base_url.rstrip("/"), **rules)
    _check(project, rules)
    validate_key(upstream_key)
    project.save()
    usual = Project()
    given = {field: fact(value) for field, value in rules.items() if value != getattr(usual, field)}
    trail.record(
        "project.created",
        project,
        actor=actor,
        project_id=project.id,
        details={"base_url": project.base_url, **given},
    )
    add_upstream_key(project, upstream_key, actor=actor)
    return project


@transaction.atomic
def update_project(project: Project, *, actor: str, **edits: Any) -> bool:
    """Change name, upstream, policy or limits, by field; True if that was one. Raises ValidationError."""
    if "base_url" in edits:
        edits["base_url"] = edits["base_url"].rstrip("/")
    changes = edit(project, edits)
    if not changes:
        return False
    _check(project, changes)
    project.save(update_fields=[*changes, "updated_at"])
    trail.record("project.changed", project, actor=actor, project_id=project.id, details=changes)
    return True


@transaction.atomic
def add_upstream_key(
    project: Project, plain: str, *, name: str = "", weight: int = 1, actor: str
) -> UpstreamKey:
    """Store `plain` for the project, encrypted. Raises ValidationError for a string that cannot be a key, and
    for a bad name or weight.
    """
    validate_key(plain)
    key = UpstreamKey(project=project, name=name.strip(), weight=weight)
    key.conceal(plain)
    key.full_clean()
    key.save()
    details = {
        field: value for field, value in (("name", key.name), ("weight", weight)) if value not in ("", 1)
    }
    trail.record("upstream_key.added", key, actor=actor, project_id=project.id, details=details)
    return key


@transaction.atomic
def update_upstream_key(key: UpstreamKey, *, actor: str, **edits: Any) -> bool:
    """Change name, weight or whether it is active, by field; True if that was one. Raises ValidationError."""
    changes = edit(key, edits)
    if not changes:
        return False
    key.full_clean()
    key.save(update_fields=[*changes, "updated_at"])
    if changes.pop("is_active", None):
        act = "upstream_key.activated" if key.is_active else "upstream_key.deactivated"
        trail.record(act, key, actor=actor, project_id=key.project_id)
    if changes:
        trail.record("upstream_key.changed", key, actor=actor, project_id=key.project_id, details=changes)
    return True


@transaction.atomic
def set_project_active(project: Project, active: bool, *, actor: str, now: datetime) -> bool:
    """Switch a project on or off; True if that was a change."""
    if not project.set_active(active, now):
        return False
    project.save(update_fields=["is_active", "deactivated_at", "updated_at"])
    trail.record(
        "project.activated" if active else "project.deactivated", project, actor=actor, project_id=project.id
    )
    return True


@transaction.atomic
def add_member(project: Project, user: User, *, actor: str) -> bool:
    """Let a person see a project; True if they did not. Their role says what they may do there."""
    _, is_new = Membership.objects.get_or_create(project=project, user=user)
    if is_new:
        _record_membership("project.member_added", project, user, actor)
    return is_new


@transaction.atomic
def remove_member(project: Project, user: User, *, actor: str) -> bool:
    """Take a project from a person's sight; True if they saw it as a member."""
    removed, _ = Membership.objects.filter(project=project, user=user).delete()
    if removed:
        _record_membership("project.member_removed", project, user, actor)
    return bool(removed)


def _record_membership(action: str, project: Project, user: User, actor: str) -> None:
    details = {"member": user.get_username()}
    trail.record(action, project, actor=actor, project_id=project.id, details=details)


def _check(project: Project, edited: Iterable[str]) -> None:
    """A provider that is no longer configured stands in the way of no other edit."""
    check_limits({field: getattr(project, field) for field in (*LIMITS, *BUDGETS)})
    check_policy(project)
    project.full_clean()
    check_capture(project, edited)
    if "provider" in edited:
        try:
            check_provider(project.provider)
        except ValidationError as problem:
            raise ValidationError({"provider": problem}) from None
