"""AuditEvent: who changed what, and when. Written once, never edited; keeps ids, not foreign keys.
AuditChain: where the chain of events begins and ends (chain.py). ChainVerification: how it was found last.
"""

from typing import Self
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.module_loading import import_string
from uuid_utils.compat import uuid7


def visible_project_ids(user: AbstractBaseUser | AnonymousUser) -> set[UUID] | None:
    """None: of all. This app knows no projects: AUDIT_SCOPE names who does."""
    ids: set[UUID] | None = import_string(settings.AUDIT_SCOPE)(user)
    return ids


class AuditEventQuerySet(models.QuerySet["AuditEvent"]):
    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        """Of the projects that the person can see; those of none only to who can see all."""
        ids = visible_project_ids(user)
        return self if ids is None else self.filter(project_id__in=ids)


class AuditEvent(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    sequence = models.PositiveBigIntegerField(
        "number", unique=True, help_text="One more than the one before it."
    )
    occurred_at = models.DateTimeField(default=timezone.now, db_index=True, editable=False)
    actor = models.CharField(max_length=150)
    action = models.CharField(max_length=60, db_index=True)
    subject_type = models.CharField(max_length=40)
    subject_id = models.CharField(max_length=40, db_index=True)
    subject_name = models.CharField(max_length=150, blank=True)
    project_id = models.UUIDField(null=True, blank=True, db_index=True)
    address = models.CharField(max_length=45, blank=True, help_text="Of the client.")
    request_id = models.UUIDField(null=True, blank=True)
    details = models.JSONField(default=dict, blank=True)
    previous_hash = models.CharField(max_length=64, blank=True, help_text="Of the event before it.")
    hash = models.CharField(max_length=64, help_text="Over all of this: seal.py.")

    objects = AuditEventQuerySet.as_manager()

    class Meta:
        ordering = ["-sequence"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(actor="") & ~Q(action=""), name="audit_event_says_who_and_what"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.subject_type} {self.subject_name or self.subject_id}"


class AuditChain(models.Model):
    """One row, which whoever appends an event locks."""

    ONLY = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY)
    last_sequence = models.PositiveBigIntegerField(default=0)
    last_hash = models.CharField(max_length=64, blank=True)
    anchor_sequence = models.PositiveBigIntegerField(
        default=0, help_text="Of the last event that was pruned."
    )
    anchor_hash = models.CharField(max_length=64, blank=True)

    def __str__(self) -> str:
        return f"{self.anchor_sequence + 1} to {self.last_sequence}"


class ChainVerification(models.Model):
    """One row: the newest one's result."""

    ONLY = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY)
    verified_at = models.DateTimeField(help_text="When it ended.")
    actor = models.CharField(max_length=150)
    events = models.PositiveBigIntegerField(
        help_text="Those that are as they were recorded, up to the break."
    )
    broken_at = models.PositiveBigIntegerField(null=True, help_text="The number of the first that is not.")
    problem = models.CharField(max_length=200, blank=True)

    def __str__(self) -> str:
        if self.broken_at is None:
            return f"Chain verified: {self.events} events."
        return f"Chain broken at event {self.broken_at}: {self.problem}"
