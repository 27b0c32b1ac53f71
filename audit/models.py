"""AuditEvent: who changed what, and when. Written once, never edited; keeps ids, not foreign keys."""

from django.db import models
from django.db.models import Q
from uuid_utils.compat import uuid7


class AuditEvent(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    occurred_at = models.DateTimeField(auto_now_add=True, db_index=True)
    actor = models.CharField(max_length=150)
    action = models.CharField(max_length=60, db_index=True)
    subject_type = models.CharField(max_length=40)
    subject_id = models.CharField(max_length=40, db_index=True)
    subject_name = models.CharField(max_length=150, blank=True)
    project_id = models.UUIDField(null=True, blank=True, db_index=True)
    details = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["-occurred_at", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(actor="") & ~Q(action=""), name="audit_event_says_who_and_what"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.subject_type} {self.subject_name or self.subject_id}"
