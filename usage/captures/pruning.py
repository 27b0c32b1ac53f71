"""Deletes captured bodies: those whose time is over, or all of a project. A few at a time: rows are large."""

from collections.abc import Callable
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from audit import trail
from projects.models import Project
from usage.captures.models import CapturedBodies

BATCH_ROWS = 100


def prune(now: datetime, *, is_stopping: Callable[[], bool] = lambda: False) -> int:
    """Delete those whose time is over; how many they were. It can be stopped at any time, and run again."""
    projects = CapturedBodies.objects.order_by().values_list("project_id", flat=True).distinct()
    return sum(_delete(CapturedBodies.objects.expired(each, now), is_stopping) for each in list(projects))


def delete_all(project: Project, *, actor: str) -> int:
    """Delete whatever was captured of a project; how many requests these were."""
    deleted = _delete(CapturedBodies.objects.filter(project=project), lambda: False)
    details = {"captures": deleted}
    trail.record("captured_bodies.deleted", project, actor=actor, project_id=project.id, details=details)
    return deleted


def _delete(rows: "QuerySet[CapturedBodies]", is_stopping: Callable[[], bool]) -> int:
    deleted = 0
    while not is_stopping():
        ids = list(rows.order_by("captured_at").values_list("pk", flat=True)[:BATCH_ROWS])
        if not ids:
            break
        with transaction.atomic():
            CapturedBodies.objects.filter(pk__in=ids).delete()
        deleted += len(ids)
    return deleted
