"""The lengths of time that the pages show: chosen by `?over=`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from usage.models import Period
from usage.rollups import Span

LENGTHS = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
USUAL = "24h"
LONGEST_BY_HOUR = timedelta(days=1)
"""Charts of more hours cannot be read."""


@dataclass(frozen=True, slots=True)
class Choice:
    name: str
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class Shown:
    name: str
    span: Span

    @property
    def choices(self) -> list[Choice]:
        return [Choice(name, name == self.name) for name in LENGTHS]

    @property
    def labels(self) -> list[str]:
        """Of its hours or days, in UTC."""
        if self.span.period is Period.DAY:
            return [f"{start:%b %d}" for start in self.span.starts]
        return [f"{start:%H:%M}" for start in self.span.starts]


def shown(query: Mapping[str, str], now: datetime) -> Shown:
    """An unknown length is the usual one."""
    name = query.get("over", USUAL)
    if name not in LENGTHS:
        name = USUAL
    return Shown(name, Span.last(LENGTHS[name], now, longest_by_hour=LONGEST_BY_HOUR))
