from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from projects.lifetime import (
    MAX_TTL,
    MIN_TTL,
    NEVER,
    InvalidTTLError,
    check_ttl,
    parse_period,
    parse_ttl,
    ttl_text,
)


@pytest.mark.parametrize(
    ("text", "ttl"),
    [
        ("60s", timedelta(minutes=1)),
        ("1m", timedelta(minutes=1)),
        ("15m", timedelta(minutes=15)),
        ("24h", timedelta(days=1)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(days=14)),
        ("365d", timedelta(days=365)),
        ("007d", timedelta(days=7)),
        (" 24H\n", timedelta(days=1)),
        ("never", NEVER),
        (" Never ", NEVER),
    ],
)
def test_text_is_read_as_a_lifetime(text: str, ttl: timedelta) -> None:
    assert parse_ttl(text) == ttl


@pytest.mark.parametrize(
    "text",
    ["", " ", "24", "h", "24 h", "24hh", "1h30m", "1.5h", "-1h", "+1h", "1e3s", "٣h", "24y", "forever", "\0"],
)
def test_text_that_is_no_lifetime_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidTTLError, match="such as 15m, 24h or 7d, or the word never"):
        parse_ttl(text)


@pytest.mark.parametrize("text", ["0s", "59s", "0m", "0d", "366d", "53w", "8761h", "999999999d"])
def test_lifetime_out_of_bounds_is_refused_with_the_bounds(text: str) -> None:
    with pytest.raises(InvalidTTLError, match="at least 1 minute and at most 365 days"):
        parse_ttl(text)


@pytest.mark.parametrize("text", ["142857143w", "999999999w"])
def test_lifetime_that_no_timedelta_holds_is_refused(text: str) -> None:
    with pytest.raises(InvalidTTLError, match="at most 365 days"):
        parse_ttl(text)


@pytest.mark.parametrize("ttl", [MIN_TTL, timedelta(hours=24), MAX_TTL, NEVER])
def test_lifetime_within_the_bounds_is_permitted(ttl: timedelta) -> None:
    assert check_ttl(ttl) == ttl


@pytest.mark.parametrize(
    "ttl",
    [
        timedelta.min,
        timedelta(0),
        MIN_TTL - timedelta.resolution,
        MAX_TTL + timedelta.resolution,
        NEVER - timedelta.resolution,
    ],
)
def test_lifetime_beyond_the_bounds_is_not(ttl: timedelta) -> None:
    with pytest.raises(InvalidTTLError):
        check_ttl(ttl)


@given(
    st.text()
    | st.from_regex(r"\s?[0-9]{1,10}[smhdwSMHDW]\s?", fullmatch=True)
    | st.builds("{}{}".format, st.integers(), st.sampled_from("smhdwy"))
)
@example("999999999w")
def test_any_text_is_a_permitted_lifetime_or_an_invalid_one(text: str) -> None:
    with suppress(InvalidTTLError):
        ttl = parse_ttl(text)
        assert ttl == NEVER or MIN_TTL <= ttl <= MAX_TTL


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("0s", timedelta(0)),
        (" 90S ", timedelta(seconds=90)),
        ("400d", timedelta(days=400)),
        ("999999999s", timedelta(seconds=999_999_999)),
        ("36500d", timedelta(days=36_500)),
    ],
)
def test_period_may_be_shorter_and_longer_than_a_lifetime(text: str, period: timedelta) -> None:
    assert parse_period(text) == period


@pytest.mark.parametrize("text", ["", "never", "0", "-1d", "1.5h"])
def test_text_that_is_no_period_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidTTLError, match="A period is a number and a unit, such as 15m, 24h or 7d"):
        parse_period(text)


@pytest.mark.parametrize("text", ["36501d", "5215w", "999999999w"])
def test_period_that_is_too_long_is_refused(text: str) -> None:
    with pytest.raises(InvalidTTLError, match="A period is at most 36500 days"):
        parse_period(text)


@pytest.mark.parametrize("text", ["90s", "1m", "15m", "1h", "24h", "25h", "7d", "365d", "never"])
def test_lifetime_is_written_as_it_is_read(text: str) -> None:
    assert ttl_text(parse_ttl(text)) == text


@given(st.timedeltas(MIN_TTL, MAX_TTL).map(lambda ttl: timedelta(seconds=ttl // timedelta(seconds=1))))
def test_any_lifetime_of_whole_seconds_is_read_as_it_is_written(ttl: timedelta) -> None:
    assert parse_ttl(ttl_text(ttl)) == ttl
