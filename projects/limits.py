"""The limits that a project and an access token can each have. Both hold: the tighter one stops a request."""

from django.db import models
from django.db.models import Q

LIMITS = (
    "max_requests",
    "max_requests_per_minute",
    "max_model_tokens_per_minute",
    "max_concurrent_requests",
)
BUDGETS = (
    "total_budget_microusd",
    "daily_budget_microusd",
    "weekly_budget_microusd",
    "monthly_budget_microusd",
)

NO_LIMIT = "Empty: no limit."
IN_MICROUSD = "In millionths of a US dollar. Empty: no limit."


def _none_or_positive(*fields: str) -> Q:
    condition = Q()
    for field in fields:
        condition &= Q(**{field: None}) | Q(**{f"{field}__gte": 1})
    return condition


class Limited(models.Model):
    """Days, weeks (from Monday) and months are those of UTC."""

    max_requests = models.PositiveBigIntegerField(
        null=True, blank=True, help_text=f"Over its whole life. {NO_LIMIT}"
    )
    max_requests_per_minute = models.PositiveBigIntegerField(null=True, blank=True, help_text=NO_LIMIT)
    max_model_tokens_per_minute = models.PositiveBigIntegerField(
        null=True, blank=True, help_text=f"Input and output together. {NO_LIMIT}"
    )
    max_concurrent_requests = models.PositiveBigIntegerField(null=True, blank=True, help_text=NO_LIMIT)
    total_budget_microusd = models.PositiveBigIntegerField(null=True, blank=True, help_text=IN_MICROUSD)
    daily_budget_microusd = models.PositiveBigIntegerField(null=True, blank=True, help_text=IN_MICROUSD)
    weekly_budget_microusd = models.PositiveBigIntegerField(null=True, blank=True, help_text=IN_MICROUSD)
    monthly_budget_microusd = models.PositiveBigIntegerField(null=True, blank=True, help_text=IN_MICROUSD)

    class Meta:
        abstract = True
        constraints = [
            models.CheckConstraint(
                condition=_none_or_positive(*LIMITS, *BUDGETS), name="%(class)s_limits_are_positive"
            ),
        ]
