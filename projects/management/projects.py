"""What the project commands share: finding a project, and its facts as lines."""

from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandError

from projects.models import Project

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


def limits_text(facts: Mapping[str, Any]) -> str:
    """What limit_facts says, in one line."""
    return ", ".join(words.format(facts[name]) for name, words in _WORDS.items() if facts[name]) or "-"


def rules_text(facts: Mapping[str, Any]) -> str:
    """Which rules there are, in one line."""
    return " ".join(name for name in facts["rules"] or () if name != "shadow") or "-"
