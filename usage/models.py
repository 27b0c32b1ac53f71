"""UsageRecord: one proxied request, as it ended. The ledger: written once, and never edited, but for what the
work that a request began is found to have used when it is finished.
"""

from django.db import models
from django.db.models import Q
from uuid_utils.compat import uuid7

from projects.models import Project
from tokens.models import AccessToken
from usage import seldom
from usage.captures.models import CapturedBodies
from usage.outcomes import CostSource, Outcome, UsageSource
from usage.rollup_models import LatencyRollup, LedgerMark, Measure, ModelRollup, Period, TokenRollup

__all__ = [
    "BackgroundWork",
    "BudgetAlert",
    "CapturedBodies",
    "DailySpend",
    "LatencyRollup",
    "LedgerMark",
    "Measure",
    "ModelPrice",
    "ModelRollup",
    "Period",
    "TokenRollup",
    "UsageRecord",
]


class UsageRecord(models.Model):
    """The id is the request's id, the `x-llm-proxy-request-id` that the client saw.

    The foreign keys carry no constraint: the ledger outlives tokens and projects.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # No index of their own: those that go on with the time begin with them.
    project = models.ForeignKey(
        Project, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    token = models.ForeignKey(
        AccessToken,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="usage_records",
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
    shadow_refusals = models.CharField(
        max_length=200, blank=True, help_text="What rules in shadow mode would have refused it for."
    )
    is_admitted = models.BooleanField(
        "admitted", default=False, help_text="Counts towards the token's limit."
    )

    attempts = models.PositiveSmallIntegerField(
        default=0, help_text="How often upstream was asked; 0: not at all, or by the turns of a WebSocket."
    )

    usage_source = models.CharField(max_length=10, choices=UsageSource.choices, default=UsageSource.NONE)
    input_tokens = models.PositiveBigIntegerField(null=True)
    output_tokens = models.PositiveBigIntegerField(null=True)
    cached_tokens = models.PositiveBigIntegerField(null=True)
    reasoning_tokens = models.PositiveBigIntegerField(null=True)
    cache_write_tokens = models.PositiveBigIntegerField(null=True, help_text="Of the input tokens.")
    audio_input_tokens = models.PositiveBigIntegerField(null=True, help_text="Of the input tokens.")
    audio_output_tokens = models.PositiveBigIntegerField(null=True, help_text="Of the output tokens.")
    image_input_tokens = models.PositiveBigIntegerField(null=True, help_text="Of the input tokens.")
    image_output_tokens = models.PositiveBigIntegerField(null=True, help_text="Of the output tokens.")
    audio_seconds = models.FloatField(null=True, help_text="What some transcriptions are measured in.")
    service_tier = models.CharField(max_length=20, blank=True, help_text="That upstream says it used.")

    cost_source = models.CharField(max_length=10, choices=CostSource.choices, default=CostSource.UNPRICED)
    cost_microusd = models.PositiveBigIntegerField(
        "cost in micro-USD", null=True, help_text="Empty: unknown."
    )

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
            models.Index(
                fields=["started_at"], condition=~Q(shadow_refusals=""), name="usage_record_shadow_refusals"
            ),
            *seldom.indexes(),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(outcome__in=Outcome.values), name="usage_record_outcome_is_known"
            ),
            models.CheckConstraint(
                condition=Q(cost_source=CostSource.UNPRICED, cost_microusd=None)
                | (~Q(cost_source=CostSource.UNPRICED) & Q(cost_microusd__isnull=False)),
                name="usage_record_cost_is_known_or_unpriced",
            ),
            models.CheckConstraint(
                condition=Q(duration_seconds__gte=0), name="usage_record_duration_is_positive"
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)


class BackgroundWork(models.Model):
    """Work that goes on upstream by itself, such as a background response: charged once, when it is found
    finished. Upstream's ids are its own: one project's fetch settles nothing of another's.
    """

    id = models.BigAutoField(primary_key=True)
    project_id = models.UUIDField()
    object_id = models.CharField(max_length=100, help_text="Upstream's.")
    record_id = models.UUIDField(help_text="Of the request that began it.")
    charged_microusd = models.PositiveBigIntegerField(help_text="When it began.")
    finished_at = models.DateTimeField(null=True, help_text="When it was found finished, and charged.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["project_id", "object_id"], name="background_work_is_charged_once"
            ),
        ]
        indexes = [models.Index(fields=["record_id"], name="background_work_by_record")]

    def __str__(self) -> str:
        return self.object_id


class DailySpend(models.Model):
    """What one subject did on one UTC day: sums of the ledger's rows, moved in the same transaction.

    A project has rows of its own, so that it is summed as quickly as a token. The limits are rebuilt
    from here. Like the ledger it outlives tokens and projects.
    """

    id = models.BigAutoField(primary_key=True)
    subject_id = models.UUIDField(help_text="The token's or the project's.")
    day = models.DateField(help_text="On which the requests began.")
    requests = models.PositiveBigIntegerField(default=0, help_text="Admitted ones.")
    cost_microusd = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["subject_id", "day"], name="daily_spend_is_one_a_subject_and_day"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.subject_id} {self.day}"


class ModelPrice(models.Model):
    """A price that goes before the one which genai-prices knows. In USD per million model tokens."""

    id = models.BigAutoField(primary_key=True)
    model = models.CharField(
        max_length=100,
        unique=True,
        help_text="A model's name, or a pattern such as my-model-*. The name wins, then the longest pattern.",
    )
    input_price = models.DecimalField(max_digits=12, decimal_places=6)
    cached_input_price = models.DecimalField(
        max_digits=12, decimal_places=6, null=True, blank=True, help_text="Empty: the input price."
    )
    audio_input_price = models.DecimalField(
        max_digits=12, decimal_places=6, null=True, blank=True, help_text="Empty: the input price."
    )
    output_price = models.DecimalField(max_digits=12, decimal_places=6, default=0)
    audio_output_price = models.DecimalField(
        max_digits=12, decimal_places=6, null=True, blank=True, help_text="Empty: the output price."
    )
    context_window = models.PositiveIntegerField(
        null=True, blank=True, help_text="Model tokens that an input can have. Empty: as known, or unbounded."
    )
    max_output_tokens = models.PositiveIntegerField(
        null=True, blank=True, help_text="Model tokens that an output can have. Empty: as known."
    )
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["model"]
        constraints = [
            models.CheckConstraint(
                condition=Q(input_price__gte=0)
                & Q(output_price__gte=0)
                & (Q(cached_input_price=None) | Q(cached_input_price__gte=0))
                & (Q(audio_input_price=None) | Q(audio_input_price__gte=0))
                & (Q(audio_output_price=None) | Q(audio_output_price__gte=0)),
                name="model_price_is_not_negative",
            ),
            models.CheckConstraint(condition=~Q(model=""), name="model_price_names_a_model"),
        ]

    def __str__(self) -> str:
        return self.model


class BudgetAlert(models.Model):
    """That a budget has reached a threshold: once for each limit, period and threshold."""

    id = models.BigAutoField(primary_key=True)
    subject_id = models.UUIDField(help_text="The token's or the project's.")
    window = models.CharField(max_length=10)
    period = models.DateField(help_text="Its first day.")
    limit_microusd = models.PositiveBigIntegerField()
    percent = models.PositiveSmallIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["subject_id", "window", "period", "limit_microusd", "percent"],
                name="budget_alert_is_given_once",
            ),
        ]
        indexes = [models.Index(fields=["window", "period"], name="budget_alert_by_period")]

    def __str__(self) -> str:
        return f"{self.subject_id} {self.window} {self.percent} %"
