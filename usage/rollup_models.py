"""The ledger's sums by hour and by UTC day: what is asked of months, and left of rows that were pruned."""

from django.db import models


class Period(models.TextChoices):
    """What a rollup sums up: an hour or a UTC day."""

    HOUR = "hour", "hour"
    DAY = "day", "day"


class Rollup(models.Model):
    """Sums of the ledger's rows by the time at which the requests began and by project: moved in the same
    transaction, and kept when the rows are pruned. Corrections may come first, so the sums carry a sign.
    """

    id = models.BigAutoField(primary_key=True)
    period = models.CharField(max_length=4, choices=Period.choices)
    starts_at = models.DateTimeField()
    project_id = models.UUIDField()
    requests = models.BigIntegerField(default=0)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.period} {self.starts_at:%Y-%m-%dT%H} {self.project_id}"


class UsageSums(Rollup):
    """In the order of `usage.sums.Sums`."""

    refused = models.BigIntegerField(default=0)
    upstream_failed = models.BigIntegerField(default=0)
    upstream_cut = models.BigIntegerField(default=0)
    cut = models.BigIntegerField(default=0)
    client_closed = models.BigIntegerField(default=0)
    interrupted = models.BigIntegerField(default=0)
    upstream_errors = models.BigIntegerField(default=0, help_text="Upstream's own, passed on.")
    unpriced = models.BigIntegerField(default=0)
    shadow_refusals = models.BigIntegerField(default=0)
    input_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    cached_tokens = models.BigIntegerField(default=0)
    cost_microusd = models.BigIntegerField(default=0)

    class Meta:
        abstract = True


class ModelRollup(UsageSums):
    model = models.CharField(max_length=100, help_text="Empty: none that upstream has answered for.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["period", "starts_at", "project_id", "model"], name="model_rollup_is_one"
            ),
        ]
        indexes = [
            models.Index(fields=["project_id", "period", "starts_at"], name="model_rollup_by_project"),
        ]


class TokenRollup(UsageSums):
    token_id = models.UUIDField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["period", "starts_at", "project_id", "token_id"], name="token_rollup_is_one"
            ),
        ]
        indexes = [
            models.Index(fields=["project_id", "period", "starts_at"], name="token_rollup_by_project"),
            models.Index(fields=["token_id", "period", "starts_at"], name="token_rollup_by_token"),
        ]


class Measure(models.TextChoices):
    DURATION = "duration", "duration"
    FIRST_BYTE = "first_byte", "first byte"


class LatencyRollup(Rollup):
    """A histogram: how many of the answered requests took so long. `usage.latency` has the bounds."""

    measure = models.CharField(max_length=10, choices=Measure.choices)
    bucket = models.SmallIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["period", "starts_at", "project_id", "measure", "bucket"],
                name="latency_rollup_is_one",
            ),
        ]
        indexes = [
            models.Index(fields=["project_id", "period", "starts_at"], name="latency_rollup_by_project"),
        ]


class LedgerMark(models.Model):
    """An instant that is remembered of the ledger as a whole: `usage.marks` says which there are."""

    name = models.CharField(max_length=30, primary_key=True)
    instant = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name} {self.instant.isoformat()}"
