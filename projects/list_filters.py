"""The admin's filter by project, for whatever has one."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import RelatedFieldListFilter
from django.http import HttpRequest

from projects.models import Project


class ProjectFilter(RelatedFieldListFilter):
    """Offers the projects that the person can see: Django's own would name all of them."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(str(project.pk), str(project)) for project in Project.objects.visible_to(request.user)]
