"""What the limits, budgets and policy of a project may be; the limits and budgets of an access token too."""

from collections.abc import Mapping
from datetime import timedelta

from django.core.exceptions import ValidationError

from projects.capture import CAPTURE
from projects.lifetime import NEVER, InvalidTTLError, check_ttl, ttl_text
from projects.limits import BUDGETS, LIMITS
from projects.models import Project, UnpricedPolicy

UPSTREAM = ("provider", "upstream_organization", "upstream_project", "permits_leading_past_us")
"""What a project says of its upstream, but for the base URL."""
POLICY = (
    "default_ttl",
    "longest_ttl",
    "permits_never",
    "permits_renewal",
    "death_policy",
    "disconnect_policy",
    "drain_seconds",
    "unpriced_policy",
    "flat_price_microusd",
    "rules",
    *CAPTURE,
)


def check_limits(limits: Mapping[str, int | None]) -> dict[str, int | None]:
    """Limits and budgets, each at least 1, or None for no limit. Raises ValidationError."""
    if unknown := limits.keys() - {*LIMITS, *BUDGETS}:
        raise TypeError(f"These are not limits: {sorted(unknown)}")
    if zeros := [field for field, limit in limits.items() if limit == 0]:
        raise ValidationError(dict.fromkeys(zeros, "A limit is at least 1; no limit is none at all."))
    return dict(limits)


def check_policy(project: Project) -> None:
    """Raises ValidationError, by field, for what the columns alone do not refuse."""
    problems = {
        field: problem
        for field in ("default_ttl", "longest_ttl")
        if (problem := _lifetime_problem(getattr(project, field)))
    }
    default, longest = project.default_ttl, project.longest_ttl
    if not problems and default and longest and default > longest:
        problems["default_ttl"] = f"It is longer than the longest lifetime, {ttl_text(longest)}."
    if project.unpriced_policy == UnpricedPolicy.FLAT and not project.flat_price_microusd:
        problems["flat_price_microusd"] = "Charging a flat price needs one."
    if problems:
        raise ValidationError(problems)


def _lifetime_problem(ttl: timedelta | None) -> str | None:
    if ttl is None:
        return None
    if ttl == NEVER:
        return "A project's lifetimes end; whether it permits tokens that never expire is asked apart."
    try:
        check_ttl(ttl)
    except InvalidTTLError as problem:
        return str(problem)
    return None
