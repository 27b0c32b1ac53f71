from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from projects.lifetime import MAX_TTL, MIN_TTL, NEVER
from projects.limits import BUDGETS, LIMITS
from projects.models import Project
from projects.policy import check_limits, check_policy

DAY, WEEK = timedelta(days=1), timedelta(weeks=1)


@pytest.mark.parametrize("field", [*LIMITS, *BUDGETS])
def test_limit_is_at_least_one_or_none(field: str) -> None:
    assert check_limits({field: 1}) == {field: 1}
    assert check_limits({field: None}) == {field: None}
    with pytest.raises(ValidationError) as caught:
        check_limits({field: 0})
    assert caught.value.message_dict == {field: ["A limit is at least 1; no limit is none at all."]}


def test_what_is_not_a_limit_is_not_taken_for_one() -> None:
    with pytest.raises(TypeError, match="request_count"):
        check_limits({"max_requests": 1, "request_count": 0})


@pytest.mark.parametrize(
    "policy",
    [
        {},
        {"default_ttl": MIN_TTL, "longest_ttl": MAX_TTL},
        {"default_ttl": DAY, "longest_ttl": DAY},
        {"default_ttl": WEEK},
        {"unpriced_policy": "flat", "flat_price_microusd": 1},
        {"unpriced_policy": "refuse"},
    ],
)
def test_policy_that_makes_sense_is_permitted(policy: dict[str, Any]) -> None:
    check_policy(Project(name="alpha", **policy))


@pytest.mark.parametrize(
    ("policy", "problems"),
    [
        (
            {"default_ttl": WEEK, "longest_ttl": DAY},
            {"default_ttl": ["It is longer than the longest lifetime, 24h."]},
        ),
        (
            {"longest_ttl": MAX_TTL + DAY},
            {"longest_ttl": ["A lifetime is at least 1 minute and at most 365 days, or the word never."]},
        ),
        (
            {"default_ttl": NEVER},
            {
                "default_ttl": [
                    "A project's lifetimes end; whether it permits tokens that never expire is asked apart."
                ]
            },
        ),
        ({"unpriced_policy": "flat"}, {"flat_price_microusd": ["Charging a flat price needs one."]}),
        (
            {"unpriced_policy": "flat", "flat_price_microusd": 0},
            {"flat_price_microusd": ["Charging a flat price needs one."]},
        ),
    ],
)
def test_policy_that_makes_none_is_refused_by_field(
    policy: dict[str, Any], problems: dict[str, list[str]]
) -> None:
    with pytest.raises(ValidationError) as caught:
        check_policy(Project(name="alpha", **policy))
    assert caught.value.message_dict == problems
