"""What projects are called."""

from collections.abc import Collection

from projects.models import Project


def names_of(ids: Collection[str]) -> dict[str, str]:
    """By id; without those that are not there any more. Raises django.db.Error."""
    rows = Project.objects.filter(pk__in=ids).values_list("pk", "name")
    return {str(project_id): name for project_id, name in rows}
