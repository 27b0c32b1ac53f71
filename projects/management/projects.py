"""What the project commands share: finding a project, and a project and its limits as facts."""

from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandError

from projects.lifetime import ttl_text
from projects.limits import BUDGETS, LIMITS, Limited
from projects.models import Project
from projects.money import usd_text

_WORDS = {
    "max_requests": "{} requests",
    "max_requests_per_minute": "{} requests/min",
    "max_model_tokens_per_minute": "{} model tokens/min",
    "max_concurrent_requests": "{} at once",
    "total_budget_usd": "{} USD",
    "daily_budget_usd": "{} USD/day",
    "weekly_budget_usd": "{} USD/week",
    "monthly_budget_usd": "{} USD/month",
}


def find_project(name_or_id: str) -> Project:
    """Raises CommandError."""
    project = Project.objects.named(name_or_id).first()
    if project is None:
        raise CommandError(f"There is no project {name_or_id!r}. `list_projects` shows them all.")
    return project


def project_facts(project: Project) -> dict[str, Any]:
    return {
        "id": str(project.id),
        "name": project.name,
        "base_url": project.base_url or None,
        "provider": project.provider or None,
        "upstream_organization": project.upstream_organization or None,
        "upstream_project": project.upstream_project or None,
        "permits_leading_past_us": project.permits_leading_past_us,
        "is_active": project.is_active,
        "upstream_keys": [str(key) for key in project.upstream_keys.all() if key.is_active],
        "default_ttl": ttl_text(project.default_ttl) if project.default_ttl else None,
        "longest_ttl": ttl_text(project.longest_ttl) if project.longest_ttl else None,
        "permits_never": project.permits_never,
        "permits_renewal": project.permits_renewal,
        "death_policy": project.death_policy,
        "disconnect_policy": project.disconnect_policy,
        "drain_seconds": project.drain_seconds,
        "unpriced_policy": project.unpriced_policy,
        "flat_price_usd": _usd(project.flat_price_microusd),
        **limit_facts(project),
        "rules": project.rules or None,
        "created_at": project.created_at.isoformat(),
    }


def limit_facts(limited: Limited) -> dict[str, Any]:
    """Limits as numbers, budgets as text in USD; None where there is none."""
    limits = {field: getattr(limited, field) for field in LIMITS}
    budgets = {field.replace("_microusd", "_usd"): _usd(getattr(limited, field)) for field in BUDGETS}
    return {**limits, **budgets}


def limits_text(facts: Mapping[str, Any]) -> str:
    """What limit_facts says, in one line."""
    return ", ".join(words.format(facts[name]) for name, words in _WORDS.items() if facts[name]) or "-"


def rules_text(facts: Mapping[str, Any]) -> str:
    """Which rules there are, in one line."""
    return " ".join(name for name in facts["rules"] or () if name != "shadow") or "-"


def _usd(microusd: int | None) -> str | None:
    return None if microusd is None else usd_text(microusd)
