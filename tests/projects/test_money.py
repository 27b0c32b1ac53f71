from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from projects.money import MAX_MICROUSD, InvalidAmountError, parse_usd, usd_text


@pytest.mark.parametrize(
    ("text", "microusd"),
    [
        ("5", 5_000_000),
        ("12.5", 12_500_000),
        ("12.50", 12_500_000),
        ("$12.50", 12_500_000),
        (" 0.25\n", 250_000),
        ("0.000001", 1),
        ("007", 7_000_000),
        ("1.5000000", 1_500_000),
        ("9007199254.740992", MAX_MICROUSD),
    ],
)
def test_text_is_read_as_dollars(text: str, microusd: int) -> None:
    assert parse_usd(text) == microusd


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "$",
        "five",
        "5 USD",
        "1,000",
        "1e3",
        "-5",
        "+5",
        ".5",
        "5.",
        "5.5.5",
        "NaN",
        "inf",
        "1_0",
        "٣",
    ],
)
def test_text_that_is_no_amount_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidAmountError, match=r"such as 5 or 0\.25"):
        parse_usd(text)


@pytest.mark.parametrize("text", ["0.0000001", "1.00000000000000000001"])
def test_fraction_of_a_millionth_is_refused(text: str) -> None:
    with pytest.raises(InvalidAmountError, match="at most six decimal places"):
        parse_usd(text)


@pytest.mark.parametrize("text", ["0", "0.00", "9007199254.740993", "99999999999999999999"])
def test_nothing_and_too_much_are_refused(text: str) -> None:
    with pytest.raises(InvalidAmountError, match="above 0 and at most 9 thousand million"):
        parse_usd(text)


@given(st.text() | st.from_regex(r"\$?[0-9]{0,30}\.?[0-9]{0,30}", fullmatch=True))
@example("1e999999")
@example("9" * 100)
def test_any_text_is_an_amount_or_an_invalid_one(text: str) -> None:
    with suppress(InvalidAmountError):
        assert 0 < parse_usd(text) <= MAX_MICROUSD


@pytest.mark.parametrize(
    ("microusd", "text"),
    [
        (0, "0.00"),
        (1, "0.000001"),
        (250_000, "0.25"),
        (12_500_000, "12.50"),
        (12_345_600, "12.3456"),
        (-1_500_000, "-1.50"),
    ],
)
def test_amount_has_two_decimal_places_or_as_many_as_it_needs(microusd: int, text: str) -> None:
    assert usd_text(microusd) == text


@given(st.integers(1, MAX_MICROUSD))
def test_amount_is_read_as_it_is_written(microusd: int) -> None:
    assert parse_usd(usd_text(microusd)) == microusd
