"""Which requests stand for many."""

from typing import Any

import uuid_utils
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from usage.entry import UsageEntry
from usage.outcomes import Outcome
from usage.sampling import is_sampled, went_well

SHARES = st.floats(0, 1)


def test_a_share_of_many_requests_is_about_as_large_as_it_says() -> None:
    ids = [uuid7() for _ in range(20_000)]
    for share in (0.01, 0.1, 0.5):
        found = sum(is_sampled(each, share) for each in ids) / len(ids)
        assert abs(found - share) < 5 * (share * (1 - share) / len(ids)) ** 0.5


@given(SHARES, SHARES)
def test_a_smaller_share_is_part_of_a_larger_one(one: float, other: float) -> None:
    each = uuid7()
    if is_sampled(each, min(one, other)):
        assert is_sampled(each, max(one, other))
    assert not is_sampled(each, 0)
    assert is_sampled(each, 1)


def test_requests_went_well_that_nobody_will_look_for() -> None:
    def entry(**fields: Any) -> UsageEntry:
        usual = {"outcome": Outcome.COMPLETED, "status": 200, "attempts": 1}
        return UsageEntry(id=uuid7(), started_at=0, method="POST", path="/v1/x", **(usual | fields))

    assert went_well(entry())
    assert went_well(entry(status=304))
    for fields in (
        *({"outcome": outcome} for outcome in Outcome if outcome is not Outcome.COMPLETED),
        *({"status": status} for status in (400, 404, 429, 500)),
        {"attempts": 2},
        {"shadow_refusals": "model_not_allowed"},
        {"error_code": "request_too_large"},
    ):
        assert not went_well(entry(**fields)), fields


def test_ids_are_as_random_at_their_end_as_is_relied_on() -> None:
    """Ids of one moment, which are counted upwards in their midst."""
    ends = {uuid_utils.uuid7().int & 0xFFFF_FFFF for _ in range(1000)}
    assert len(ends) > 990
    assert max(ends) - min(ends) > 2**31
