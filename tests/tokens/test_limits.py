from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from tokens.grant import Grant
from tokens.limits import RequestLimitReachedError, RequestLimits


def grant(max_requests: int | None = None, request_count: int = 0) -> Grant:
    return Grant(
        token_id=uuid7(),
        project_id=UUID(int=1),
        token_active=True,
        token_revoked=False,
        project_active=True,
        expires_at=float("inf"),
        max_requests=max_requests,
        request_count=request_count,
        base_url="http://upstream.test/v1",
        upstream_key="sk-upstream",
    )


def admitted(limits: RequestLimits, token: Grant, requests: int) -> int:
    """How many of so many requests are let through."""
    return sum(is_admitted(limits, token) for _ in range(requests))


def is_admitted(limits: RequestLimits, token: Grant) -> bool:
    try:
        limits.acquire(token)
    except RequestLimitReachedError:
        return False
    return True


@pytest.fixture
def limits() -> RequestLimits:
    return RequestLimits(max_counters=100)


def test_capped_token_makes_exactly_its_number_of_requests(limits: RequestLimits) -> None:
    assert admitted(limits, grant(max_requests=5), requests=20) == 5


def test_requests_of_earlier_times_count(limits: RequestLimits) -> None:
    assert admitted(limits, grant(max_requests=5, request_count=3), requests=20) == 2


def test_token_that_was_used_up_before_makes_none(limits: RequestLimits) -> None:
    assert admitted(limits, grant(max_requests=5, request_count=9), requests=20) == 0


def test_token_without_a_cap_is_never_refused(limits: RequestLimits) -> None:
    assert admitted(limits, grant(request_count=10**6), requests=1000) == 1000


def test_each_token_has_its_own_count(limits: RequestLimits) -> None:
    first, second = grant(max_requests=2), grant(max_requests=2)
    assert admitted(limits, first, requests=3) == 2
    assert admitted(limits, second, requests=3) == 2


def test_refused_requests_do_not_count(limits: RequestLimits) -> None:
    token = grant(max_requests=2)
    admitted(limits, token, requests=10)
    assert admitted(limits, replace(token, max_requests=3), requests=10) == 1


@given(st.lists(st.integers(0, 10), max_size=40))
def test_no_reload_of_the_grant_raises_the_cap_however_stale_it_is(stale_counts: list[int]) -> None:
    limits, token = RequestLimits(max_counters=100), grant(max_requests=10)
    passed = sum(is_admitted(limits, replace(token, request_count=count)) for count in [0, *stale_counts])
    assert passed == min(10, 1 + len(stale_counts))


def test_raised_cap_holds_from_the_next_grant_on(limits: RequestLimits) -> None:
    token = grant(max_requests=2)
    admitted(limits, token, requests=5)
    assert admitted(limits, replace(token, max_requests=6), requests=10) == 4


def test_writing_gives_no_requests_back(limits: RequestLimits) -> None:
    token = grant(max_requests=5)
    admitted(limits, token, requests=5)
    limits.written({token.token_id: 5, uuid7(): 3})
    assert admitted(limits, token, requests=5) == 0


def test_counter_is_not_forgotten_while_some_of_it_is_unwritten() -> None:
    limits, token = RequestLimits(max_counters=1), grant(max_requests=2)
    admitted(limits, token, requests=2)
    limits.written({token.token_id: 1})
    for _ in range(10):
        limits.acquire(grant())
    assert admitted(limits, token, requests=5) == 0


def test_written_counter_is_forgotten_when_room_is_needed() -> None:
    limits, token = RequestLimits(max_counters=1), grant(max_requests=2)
    admitted(limits, token, requests=2)
    limits.written({token.token_id: 2})
    limits.acquire(grant())
    # Only for a counter that is gone does the grant's own number count.
    assert admitted(limits, replace(token, request_count=1), requests=5) == 1


def test_counter_that_is_used_again_is_kept_before_one_that_is_not() -> None:
    limits, used, unused = RequestLimits(max_counters=2), grant(max_requests=5), grant(max_requests=5)
    for token in (used, unused, used):
        limits.acquire(token)
        limits.written({token.token_id: 1})
    limits.acquire(grant())
    assert admitted(limits, used, requests=10) == 3


def test_no_more_counters_are_kept_than_permitted_and_they_are_those_used_last() -> None:
    limits, tokens = RequestLimits(max_counters=10), [grant(max_requests=1) for _ in range(100)]
    for token in tokens:
        limits.acquire(token)
        limits.written({token.token_id: 1})
    kept = [token for token in reversed(tokens) if not is_admitted(limits, token)]
    assert kept == tokens[:-11:-1]


def test_counters_come_back_to_their_number_after_the_ledger_has_caught_up() -> None:
    limits, tokens = RequestLimits(max_counters=10), [grant(max_requests=1) for _ in range(100)]
    for token in tokens:
        limits.acquire(token)
    limits.written({token.token_id: 1 for token in tokens})
    limits.acquire(grant())
    assert len([token for token in reversed(tokens) if not is_admitted(limits, token)]) <= 10


def test_one_request_that_takes_long_does_not_keep_other_counters_from_being_forgotten() -> None:
    limits, long_lived = RequestLimits(max_counters=10), grant(max_requests=1)
    limits.acquire(long_lived)
    tokens = [grant(max_requests=1) for _ in range(50)]
    for token in tokens:
        limits.acquire(token)
        limits.written({token.token_id: 1})
    assert not is_admitted(limits, long_lived)
    assert len([token for token in reversed(tokens) if not is_admitted(limits, token)]) <= 10
