"""Whether a request is repeated, when, and how often in all."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.retry import (
    MAX_WAIT_SECONDS,
    RetryBudget,
    can_be_repeated,
    may_ask_again,
    retries_for,
    seconds_to_wait,
    told_seconds,
)

NOW = 1_900_000_000.0


@pytest.mark.parametrize(
    ("method", "harmless"), [("GET", True), ("HEAD", True), ("PUT", True), ("DELETE", True), ("POST", False)]
)
def test_a_request_is_harmless_by_its_method(method: str, harmless: bool) -> None:
    assert can_be_repeated(method, []) is harmless


def test_a_post_is_harmless_by_its_idempotency_key() -> None:
    assert can_be_repeated("POST", [(b"idempotency-key", b"k")])


@pytest.mark.parametrize(("count", "left"), [(None, 2), (b"0", 2), (b"1", 0), (b"2", 0), (b"many", 0)])
def test_a_client_that_repeats_by_itself_is_left_to_do_so(count: bytes | None, left: int) -> None:
    headers = [] if count is None else [(b"x-stainless-retry-count", count)]
    assert retries_for(headers, 2) == left


@pytest.mark.parametrize(
    ("status", "said", "harmless", "again"),
    [
        (503, None, False, True),
        (429, None, False, True),
        (500, None, False, False),
        (500, None, True, True),
        (502, None, True, True),
        (504, None, False, False),
        (400, None, True, False),
        (409, b"true", False, True),
        (500, b"true", False, True),
        (503, b"false", True, False),
        (200, b"true", True, False),
    ],
)
def test_an_answer_is_asked_for_again_by_what_it_says(
    status: int, said: bytes | None, harmless: bool, again: bool
) -> None:
    headers = [] if said is None else [(b"x-should-retry", said)]
    assert may_ask_again(status, headers, is_harmless=harmless) is again


def test_a_used_up_quota_is_not_asked_again() -> None:
    assert not may_ask_again(429, [(b"x-should-retry", b"true")], is_harmless=True, is_quota=True)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], None),
        ([(b"retry-after", b"7")], 7),
        ([(b"retry-after", b"0.5")], 0.5),
        ([(b"retry-after", b"7"), (b"retry-after-ms", b"250")], 0.25),
        ([(b"retry-after", b"soon")], None),
        ([(b"retry-after", b"-1")], None),
        ([(b"retry-after", b"inf")], None),
        ([(b"retry-after", b"nan")], None),
        ([(b"retry-after", b"9" * 50)], None),
    ],
)
def test_the_wait_that_upstream_asks_for_is_read(
    headers: list[tuple[bytes, bytes]], seconds: float | None
) -> None:
    assert told_seconds(headers, now=NOW) == seconds


@pytest.mark.parametrize(("later", "seconds"), [(30, 30), (-30, 0)])
def test_the_wait_may_be_told_as_an_instant(later: int, seconds: float) -> None:
    at = format_datetime(datetime.fromtimestamp(NOW + later, UTC), usegmt=True).encode()
    assert told_seconds([(b"retry-after", at)], now=NOW) == seconds


@given(st.binary(max_size=40))
def test_no_header_breaks_the_reading(value: bytes) -> None:
    told = told_seconds([(b"retry-after", value), (b"retry-after-ms", value)], now=NOW)
    assert told is None or 0 <= told < float("inf")


@given(st.integers(0, 30))
def test_waits_are_random_and_bounded(made: int) -> None:
    waits = {seconds_to_wait(made, [], now=NOW) for _ in range(5)}
    assert len(waits) > 1
    assert all(wait is not None and 0 <= wait <= MAX_WAIT_SECONDS for wait in waits)


@given(st.floats(0, MAX_WAIT_SECONDS))
def test_no_wait_is_shorter_than_upstream_asks_for(told: float) -> None:
    wait = seconds_to_wait(0, [(b"retry-after-ms", f"{told * 1000:.3f}".encode())], now=NOW)
    assert wait is None or told - 0.001 <= wait <= told * 1.1 + 0.001


def test_a_wait_beyond_the_longest_is_not_waited() -> None:
    assert seconds_to_wait(0, [(b"retry-after", b"6")], now=NOW) is None


@given(st.integers(0, 1000), st.integers(0, 100))
def test_the_budget_is_a_share_and_a_floor(requests: int, percent: int) -> None:
    budget = RetryBudget(percent)
    taken = 0
    for _ in range(requests):
        budget.note_request()
        taken += sum(budget.take(now=5.0) for _ in range(3))
    assert taken <= requests * percent / 100 + 3


def test_the_floor_comes_back_with_time() -> None:
    budget = RetryBudget(0)
    assert [budget.take(now=100.0) for _ in range(4)] == [True, True, True, False]
    assert [budget.take(now=104.0) for _ in range(2)] == [True, False]


def test_calm_times_save_up_no_storm() -> None:
    budget = RetryBudget(10)
    for _ in range(100_000):
        budget.note_request()
    assert sum(budget.take(now=0.0) for _ in range(1000)) == 103
