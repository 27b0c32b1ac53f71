"""What the project commands share: finding a project, and a project as facts."""

from typing import Any

from django.core.management.base import CommandError

from projects.models import Project


def find_project(name_or_id: str) -> Project:
    """Raises CommandError."""
    project = Project.objects.named(name_or_id).first()
    if project is None:
        raise CommandError(f"There is no project {name_or_id!r}. `list_projects` shows them all.")
    return project


def project_facts(project: Project) -> dict[str, Any]:
    return {
        "id": str(project.id),
        "name": project.name,
        "base_url": project.base_url or None,
        "is_active": project.is_active,
        "upstream_keys": [str(key) for key in project.upstream_keys.all() if key.is_active],
        "created_at": project.created_at.isoformat(),
    }
