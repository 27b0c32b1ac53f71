"""What can be done to a project. Every act is one transaction with its audit event."""

from datetime import datetime

from django.db import transaction

from audit import trail
from projects.models import Project, UpstreamKey, validate_key


@transaction.atomic
def create_project(*, name: str, upstream_key: str, base_url: str = "", actor: str) -> Project:
    """A new project with its first upstream key. Raises ValidationError for a bad name, key or URL."""
    project = Project(name=name.strip(), base_url=base_url.rstrip("/"))
    project.full_clean()
    validate_key(upstream_key)
    project.save()
    trail.record(
        "project.created", project, actor=actor, project_id=project.id, details={"base_url": project.base_url}
    )
    add_upstream_key(project, upstream_key, actor=actor)
    return project


@transaction.atomic
def add_upstream_key(project: Project, plain: str, *, actor: str) -> UpstreamKey:
    """Store `plain` for the project, encrypted. Raises ValidationError for a string that cannot be a key."""
    validate_key(plain)
    key = UpstreamKey(project=project)
    key.conceal(plain)
    key.save()
    trail.record("upstream_key.added", key, actor=actor, project_id=project.id)
    return key


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
