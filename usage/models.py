"""UsageRecord: one proxied request, as it ended. The ledger: written once, never edited."""

from django.db import models
from django.db.models import Q
from uuid_utils.compat import uuid7

from projects.models import Project
from tokens.models import AccessToken
from usage.outcomes import Outcome, UsageSource


class UsageRecord(models.Model):
    """The id is the request's id, the `x-llm-proxy-request-id` that the client saw.

    The foreign keys carry no constraint: the ledger outlives tokens and projects.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    project = models.ForeignKey(Project, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    token = models.ForeignKey(
        AccessToken, on_delete=models.DO_NOTHING, db_constraint=False, related_name="usage_records"
    )
    started_at = models.DateTimeField(db_index=True)
    method = models.CharField(max_length=10)
    endpoint = models.CharField(
        max_length=100, blank=True, help_text="The allowlist's template; empty: refused."
    )
    path = models.CharField(max_length=255)
    is_stream = models.BooleanField("stream", default=False)
    model = models.CharField(max_length=100, blank=True)

    outcome = models.CharField(max_length=20, choices=Outcome.choices)
    status = models.PositiveSmallIntegerField(
        null=True, help_text="What the client was sent; empty: nothing."
    )
    error_code = models.CharField(max_length=60, blank=True, help_text="Of an error of ours.")
    is_admitted = models.BooleanField(
        "admitted", default=False, help_text="Counts towards the token's limit."
    )

    usage_source = models.CharField(max_length=10, choices=UsageSource.choices, default=UsageSource.NONE)
    input_tokens = models.PositiveBigIntegerField(null=True)
    output_tokens = models.PositiveBigIntegerField(null=True)
    cached_tokens = models.PositiveBigIntegerField(null=True)
    reasoning_tokens = models.PositiveBigIntegerField(null=True)

    duration_seconds = models.FloatField()
    first_byte_seconds = models.FloatField(null=True)
    upstream_processing_seconds = models.FloatField(null=True)
    upstream_request_id = models.CharField(max_length=100, blank=True)
    request_bytes = models.PositiveBigIntegerField(default=0)
    response_bytes = models.PositiveBigIntegerField(default=0)

    class Meta:
        ordering = ["-started_at"]
        indexes = [
            models.Index(fields=["project", "started_at"]),
            models.Index(fields=["token", "started_at"]),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(outcome__in=Outcome.values), name="usage_record_outcome_is_known"
            ),
            models.CheckConstraint(
                condition=Q(duration_seconds__gte=0), name="usage_record_duration_is_positive"
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)
