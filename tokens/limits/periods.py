"""The windows that budgets are counted in: for ever, and UTC's calendar days, weeks (from Monday) and months.

A period is a number that is the same for all instants in it: the next period has a larger one.
"""

from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache

DAY_MS = 86_400_000
_EPOCH = date(1970, 1, 1)


class Window(StrEnum):
    """In the order of every tuple of four that has one value for each."""

    TOTAL = "total"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


WINDOWS = tuple(Window)

Periods = tuple[int, int, int, int]


def periods_at(at_ms: int) -> Periods:
    """The four periods of an instant, in milliseconds since the epoch."""
    return _periods_of_day(at_ms // DAY_MS)


@lru_cache(maxsize=64)
def _periods_of_day(day: int) -> Periods:
    today = _EPOCH + timedelta(days=day)
    week = (day + 3) // 7  # the epoch was a Thursday
    return 0, day, week, today.year * 12 + today.month - 1


def first_days_at(at_ms: int) -> tuple[date, date, date, date]:
    """The first day of each of the four periods; the total's is the epoch."""
    today = _EPOCH + timedelta(days=at_ms // DAY_MS)
    return _EPOCH, today, today - timedelta(days=today.weekday()), today.replace(day=1)


def resets_at(window: Window, at_ms: int) -> datetime | None:
    """When the window's next period begins; None for the total."""
    _, day, week, month = first_days_at(at_ms)
    match window:
        case Window.TOTAL:
            return None
        case Window.DAILY:
            first = day + timedelta(days=1)
        case Window.WEEKLY:
            first = week + timedelta(days=7)
        case Window.MONTHLY:
            first = (month + timedelta(days=32)).replace(day=1)
    return datetime.combine(first, time(), UTC)
