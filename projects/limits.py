"""The limits that a project and an access token can each have. Both hold: the tighter one stops a request."""

from django.core.validators import MaxValueValidator
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
MAX_LIMIT = 2**63 - 1
"""What every engine can keep; MySQL's own bound is twice that."""


def _none_or_positive(*fields: str) -> Q:
    condition = Q()
    for field in fields:
        condition &= Q(**{field: None}) | Q(**{f"{field}__gte": 1})
    return condition


def _limit(help_text: str) -> "models.PositiveBigIntegerField[int | None, int | None]":
    return models.PositiveBigIntegerField(
        null=True, blank=True, help_text=help_text, validators=[MaxValueValidator(MAX_LIMIT)]
    )


class Limited(models.Model):
    """Days, weeks (from Monday) and months are those of UTC."""

    max_requests = _limit(f"Over its whole life. {NO_LIMIT}")
    max_requests_per_minute = _limit(NO_LIMIT)
    max_model_tokens_per_minute = _limit(f"Input and output together. {NO_LIMIT}")
    max_concurrent_requests = _limit(NO_LIMIT)
    total_budget_microusd = _limit(IN_MICROUSD)
    daily_budget_microusd = _limit(IN_MICROUSD)
    weekly_budget_microusd = _limit(IN_MICROUSD)
    monthly_budget_microusd = _limit(IN_MICROUSD)

    class Meta:
        abstract = True
        constraints = [
            models.CheckConstraint(
                condition=_none_or_positive(*LIMITS, *BUDGETS), name="%(class)s_limits_are_positive"
            ),
        ]
