from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from tests.usage.factories import ModelPriceFactory
from usage.known_prices import KnownPrices
from usage.price_book import LONGEST_NAME, MAX_ENTRIES, PriceBook
from usage.price_overrides import Override, load_overrides
from usage.prices import Price, Rates

MILLION = 1_000_000


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 1, 12, tzinfo=UTC)

    def __call__(self) -> float:
        return self.now.timestamp()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def book(clock: Clock) -> PriceBook:
    return PriceBook(clock)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """How often genai-prices was asked, by model."""
    counts: Counter[str] = Counter()
    find = KnownPrices.find

    def counting(known: KnownPrices, model: str, *arguments: Any) -> Price | None:
        counts[model] += 1
        return find(known, model, *arguments)

    monkeypatch.setattr(KnownPrices, "find", counting)
    return counts


def override(model: str, usd: int, **limits: int) -> Override:
    rates = Rates.of(text_input=usd * MILLION, text_output=usd * MILLION)
    return Override(model, rates, limits.get("context_window"), limits.get("max_output_tokens"))


def input_usd(book: PriceBook, model: str, service_tier: str = "") -> float | None:
    """What a million input tokens cost."""
    price = book.find(model, service_tier)
    return price and price.cost_microusd(input_tokens=MILLION, output_tokens=0) / MILLION


def test_model_without_an_override_has_the_known_price(book: PriceBook) -> None:
    assert input_usd(book, "gpt-4o") == 2.5
    assert input_usd(book, "gpt-4o", "priority") == 4.25
    assert input_usd(book, "unheard-of") is None


def test_override_of_the_name_goes_before_patterns_and_those_before_what_is_known(book: PriceBook) -> None:
    book.set_overrides((override("*", 1), override("gpt-4*", 2), override("gpt-4o", 3)))
    assert [input_usd(book, model) for model in ("gpt-4o", "gpt-4o-mini", "o3", "unheard-of")] == [3, 2, 1, 1]


def test_patterns_tell_capitals_from_small_letters(book: PriceBook) -> None:
    book.set_overrides((override("My-*", 7),))
    assert [input_usd(book, model) for model in ("My-model", "my-model")] == [7, None]


def test_override_holds_for_every_service_tier(book: PriceBook) -> None:
    book.set_overrides((override("gpt-4o", 7),))
    assert input_usd(book, "gpt-4o", "priority") == 7


def test_override_that_is_0_is_a_price(book: PriceBook) -> None:
    book.set_overrides((override("gpt-4o", 0),))
    assert input_usd(book, "gpt-4o") == 0


def test_override_without_limits_has_the_known_ones(book: PriceBook) -> None:
    book.set_overrides((override("*", 1),))
    assert _limits(book, "gpt-4o") == (128_000, 16_384)
    assert _limits(book, "ft:gpt-4.1-2025-04-14:acme::abc") == (1_000_000, 32_768)
    assert _limits(book, "unheard-of") == (None, None)


def test_limits_of_an_override_go_before_the_known_ones(book: PriceBook) -> None:
    book.set_overrides((override("gpt-*", 1, context_window=9, max_output_tokens=7),))
    assert _limits(book, "gpt-4o") == (9, 7)


def test_model_puts_out_no_more_than_its_context_window_when_nothing_else_is_known(book: PriceBook) -> None:
    book.set_overrides((override("my-model", 1, context_window=9),))
    assert _limits(book, "my-model") == (9, 9)


def test_overrides_that_are_set_replace_those_before(book: PriceBook) -> None:
    book.set_overrides((override("gpt-4o", 7), override("my-model", 7)))
    assert (input_usd(book, "gpt-4o"), input_usd(book, "my-model")) == (7, 7)
    book.set_overrides((override("gpt-4o", 8),))
    assert (input_usd(book, "gpt-4o"), input_usd(book, "my-model")) == (8, None)
    book.set_overrides(())
    assert input_usd(book, "gpt-4o") == 2.5


def test_answers_are_remembered_even_that_there_is_no_price(book: PriceBook, asked: Counter[str]) -> None:
    for _ in range(3):
        book.find("gpt-4o")
        book.find("unheard-of")
    assert asked == {"gpt-4o": 1, "unheard-of": 1}


def test_answers_are_forgotten_only_when_overrides_change(book: PriceBook, asked: Counter[str]) -> None:
    for overrides in [(override("a", 1),), (override("a", 1),), (override("a", 2),)]:
        book.set_overrides(overrides)
        book.find("gpt-4o")
    assert asked == {"gpt-4o": 2}


def test_price_changes_on_its_date(book: PriceBook, clock: Clock) -> None:
    clock.now = datetime(2026, 8, 20, 23, 59, 59, tzinfo=UTC)
    assert input_usd(book, "gpt-5.6-sol") == 10  # of a long prompt
    clock.now = datetime(2026, 8, 21, tzinfo=UTC)
    assert input_usd(book, "gpt-5.6-sol") == 8


def test_names_that_clients_make_up_do_not_pile_up(book: PriceBook, asked: Counter[str]) -> None:
    book.find("gpt-4o")
    for number in range(MAX_ENTRIES):
        book.find(f"made-up-{number}")
    book.find("gpt-4o")
    assert asked["gpt-4o"] == 2


def test_endless_names_are_not_even_looked_up(book: PriceBook, asked: Counter[str]) -> None:
    assert book.find("gpt-4o-audio-preview" + "x" * LONGEST_NAME) is None
    assert not asked


def test_endless_service_tier_is_the_standard_one(book: PriceBook) -> None:
    assert input_usd(book, "gpt-4o", "x" * (LONGEST_NAME + 1)) == 2.5


@pytest.mark.django_db
def test_overrides_are_loaded_as_they_are_stored(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    ModelPriceFactory(
        model="voice-*",
        input_price=Decimal("0.000001"),
        cached_input_price=Decimal("0.5"),
        output_price=Decimal("999999.999999"),
        audio_input_price=Decimal("32"),
        audio_output_price=Decimal("64"),
        context_window=1_000,
        max_output_tokens=500,
    )
    with django_assert_num_queries(1):
        (loaded,) = load_overrides()
    rates = Rates(
        text_input=1,
        cached_input=500_000,
        cache_write=1,
        audio_input=32_000_000,
        cached_audio_input=500_000,
        text_output=999_999_999_999,
        audio_output=64_000_000,
    )
    assert loaded == Override("voice-*", rates, 1_000, 500)


@pytest.mark.django_db
def test_prices_that_are_left_empty_are_those_of_text() -> None:
    ModelPriceFactory(model="plain", input_price=2, output_price=8)
    (loaded,) = load_overrides()
    assert loaded == Override("plain", Rates.of(text_input=2 * MILLION, text_output=8 * MILLION), None, None)


def _limits(book: PriceBook, model: str) -> tuple[int | None, int | None]:
    price = book.find(model)
    return price.context_window, price.max_output_tokens
