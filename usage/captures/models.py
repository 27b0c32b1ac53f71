"""CapturedBodies: what is kept of one request's bodies. Encrypted; only `lifecycle.read` opens it."""

from datetime import datetime, timedelta
from typing import Self
from uuid import UUID

from django.db import models

from projects.capture import retention_of
from projects.concealed import Concealed
from projects.models import Project


class CaptureQuerySet(models.QuerySet["CapturedBodies"]):
    def of(self, request_id: UUID, now: datetime) -> "CapturedBodies | None":
        """Unless its time is over, whether it is deleted already or not."""
        found = self.filter(pk=request_id).first()
        return None if found is None or found.is_over(now) else found

    def expired(self, project_id: UUID, now: datetime) -> Self:
        return self.filter(project_id=project_id, captured_at__lt=now - _retention(project_id))


class CapturedBodies(Concealed):
    """The id is the request's. The foreign key carries no constraint, as in the ledger."""

    AUDITED_AS = "captured_bodies"
    IS_ONE_OF_MANY = True

    id = models.UUIDField(primary_key=True, editable=False)
    project = models.ForeignKey(
        Project, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    captured_at = models.DateTimeField(help_text="When the request began.")

    objects = CaptureQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "captured bodies"
        default_permissions = ("view", "delete")
        indexes = [models.Index(fields=["project", "captured_at"], name="captured_bodies_by_project")]

    def __str__(self) -> str:
        return str(self.id)

    def is_over(self, now: datetime) -> bool:
        return self.captured_at < now - _retention(self.project_id)


def _retention(project_id: UUID) -> timedelta:
    project = Project.objects.filter(pk=project_id).first()
    return timedelta() if project is None else retention_of(project)
