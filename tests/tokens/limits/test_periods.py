from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokens.limits.periods import DAY_MS, WINDOWS, Window, first_days_at, periods_at, resets_at

INSTANTS = st.integers(0, 4_102_444_800_000)
CALENDAR = {Window.DAILY: "%Y-%m-%d", Window.WEEKLY: "%G-%V", Window.MONTHLY: "%Y-%m"}


def at(at_ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)


@given(INSTANTS, st.integers(-40 * DAY_MS, 40 * DAY_MS))
def test_two_instants_share_a_period_if_they_share_it_in_the_calendar(first: int, distance: int) -> None:
    second = max(0, first + distance)
    periods = dict(zip(WINDOWS, zip(periods_at(first), periods_at(second), strict=True), strict=True))

    assert periods[Window.TOTAL] == (0, 0)
    for window, name in CALENDAR.items():
        mine, others = periods[window]
        assert (mine == others) == (at(first).strftime(name) == at(second).strftime(name))
        assert (mine < others) == (first < second and mine != others)


@given(INSTANTS)
def test_a_period_ends_where_the_next_begins(at_ms: int) -> None:
    for i, window in enumerate(WINDOWS[1:], start=1):
        next_ms = int(resets_at(window, at_ms).timestamp() * 1000)
        first = first_days_at(at_ms)[i]
        assert next_ms > at_ms
        assert periods_at(next_ms)[i] > periods_at(next_ms - 1)[i] == periods_at(at_ms)[i]
        assert datetime(first.year, first.month, first.day, tzinfo=UTC) <= at(at_ms)


def test_the_total_never_ends() -> None:
    assert resets_at(Window.TOTAL, 0) is None


@pytest.mark.parametrize(
    ("window", "resets"),
    [
        (Window.DAILY, "2026-12-31"),
        (Window.WEEKLY, "2027-01-04"),
        (Window.MONTHLY, "2027-01-01"),
    ],
)
def test_weeks_begin_on_monday_and_months_on_their_first(window: Window, resets: str) -> None:
    wednesday = datetime(2026, 12, 30, 18, tzinfo=UTC)

    assert resets_at(window, int(wednesday.timestamp() * 1000)) == datetime.fromisoformat(resets).replace(
        tzinfo=UTC
    )
