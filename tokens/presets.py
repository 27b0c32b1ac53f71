"""What is usual for some kinds of holders: values that the form to issue a token can begin with."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Preset:
    name: str
    title: str
    note: str
    values: dict[str, str] = field(default_factory=dict)
    """Of the form's fields, as a person would type them."""


PRESETS = (
    Preset(
        "ci",
        "CI job",
        "1 hour, 200 requests, $1",
        {"lifetime": "1h", "max_requests": "200", "total_budget_microusd": "1.00"},
    ),
    Preset(
        "notebook",
        "Notebook",
        "a day, dies after 4 unused hours, $5",
        {
            "lifetime": "24h",
            "idle_ttl": "4h",
            "total_budget_microusd": "5.00",
            "max_concurrent_requests": "4",
        },
    ),
    Preset(
        "service",
        "Service",
        "30 days, dies after 7 unused days, $20 a day",
        {"lifetime": "30d", "idle_ttl": "7d", "daily_budget_microusd": "20.00"},
    ),
    Preset(
        "person",
        "Person",
        "7 days, dies after 2 unused days, $5 a day, 60 requests a minute",
        {
            "lifetime": "7d",
            "idle_ttl": "2d",
            "daily_budget_microusd": "5.00",
            "max_requests_per_minute": "60",
        },
    ),
    Preset(
        "demo",
        "Demo",
        "15 minutes, 20 requests, one at a time",
        {"lifetime": "15m", "max_requests": "20", "max_concurrent_requests": "1"},
    ),
)


def values_of(name: str) -> dict[str, str]:
    """Of the preset with this name; none of an unknown one."""
    return next((preset.values for preset in PRESETS if preset.name == name), {})


def first_values(query: Mapping[str, str]) -> dict[str, str]:
    """What the form begins with: a preset, and the project whose page led here."""
    project = query.get("project")
    return values_of(query.get("preset", "")) | ({"project": project} if project else {})
