from datetime import timedelta
from typing import Any

import pytest
from pytest_django import Settings

from projects.models import Project
from tokens.lifetime import (
    MAX_GRACE,
    MAX_TTL,
    MIN_TTL,
    NEVER,
    InvalidTTLError,
    check_grace,
    default_ttl,
    longest_ttl,
    permitted_ttl,
)

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)


def project(**policy: Any) -> Project:
    return Project(name="alpha", **policy)


@pytest.mark.parametrize(
    ("policy", "setting", "default"),
    [
        ({}, DAY, DAY),
        ({"default_ttl": HOUR}, DAY, HOUR),
        ({"default_ttl": WEEK}, DAY, WEEK),
        ({"longest_ttl": HOUR}, DAY, HOUR),
        ({"default_ttl": DAY, "longest_ttl": DAY}, HOUR, DAY),
        ({"longest_ttl": WEEK}, NEVER, WEEK),
        ({}, NEVER, MAX_TTL),
        ({"permits_never": True, "longest_ttl": WEEK}, NEVER, NEVER),
        ({"permits_never": True, "default_ttl": HOUR}, NEVER, HOUR),
    ],
)
def test_default_is_the_projects_then_the_settings_and_not_longer_than_permitted(
    policy: dict[str, Any], setting: timedelta, default: timedelta, settings: Settings
) -> None:
    settings.TOKEN_DEFAULT_TTL = setting
    assert default_ttl(project(**policy)) == default


@pytest.mark.parametrize(
    ("policy", "ttl"),
    [({}, MIN_TTL), ({}, MAX_TTL), ({"longest_ttl": DAY}, DAY), ({"permits_never": True}, NEVER)],
)
def test_lifetime_that_the_project_permits_is_given(policy: dict[str, Any], ttl: timedelta) -> None:
    assert permitted_ttl(project(**policy), ttl) == ttl


@pytest.mark.parametrize(
    ("policy", "ttl", "problem"),
    [
        ({}, MAX_TTL + timedelta(seconds=1), "at least 1 minute and at most 365 days"),
        ({}, MIN_TTL - timedelta(seconds=1), "at least 1 minute and at most 365 days"),
        (
            {"longest_ttl": DAY},
            DAY + timedelta(seconds=1),
            "The project alpha permits a lifetime of at most 24h.",
        ),
        ({"longest_ttl": WEEK}, NEVER, "The project alpha does not permit tokens that never expire."),
        (
            {"permits_never": True, "longest_ttl": DAY},
            WEEK,
            "The project alpha permits a lifetime of at most 24h.",
        ),
    ],
)
def test_any_other_lifetime_is_refused_with_a_reason(
    policy: dict[str, Any], ttl: timedelta, problem: str
) -> None:
    with pytest.raises(InvalidTTLError, match=problem):
        permitted_ttl(project(**policy), ttl)


def test_longest_lifetime_is_a_year_where_the_project_says_nothing() -> None:
    assert longest_ttl(project()) == MAX_TTL
    assert longest_ttl(project(longest_ttl=DAY)) == DAY


@pytest.mark.parametrize("grace", [timedelta(0), HOUR, MAX_GRACE])
def test_grace_within_the_bounds_is_permitted(grace: timedelta) -> None:
    assert check_grace(grace) == grace


@pytest.mark.parametrize("grace", [-timedelta.resolution, MAX_GRACE + timedelta.resolution, NEVER])
def test_grace_beyond_the_bounds_is_not(grace: timedelta) -> None:
    with pytest.raises(InvalidTTLError, match="at least 0 and at most 30 days"):
        check_grace(grace)
