from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage.prices import Price, Rates

USD_PER_MILLION = 1_000_000
TEXT = Rates.of(text_input=2 * USD_PER_MILLION, cached_input=USD_PER_MILLION, text_output=8 * USD_PER_MILLION)
VOICE = Rates.of(
    text_input=4_000_000,
    cached_input=400_000,
    audio_input=32_000_000,
    cached_audio_input=300_000,
    text_output=16_000_000,
    audio_output=64_000_000,
)
PARTS = ("cached_tokens", "cache_write_tokens", "audio_input_tokens", "audio_output_tokens")

counts = st.integers(0, 10_000_000)
nonsense = st.integers(-10, 10_000_000)
ascending = st.lists(st.integers(0, 200_000_000), min_size=5, max_size=5).map(sorted)


@st.composite
def rates(draw: st.DrawFn) -> Rates:
    """As price lists have them: what is cached is cheaper; a write to the cache is dearer, as is audio."""
    cached, cached_audio, text, written, audio = draw(ascending)
    text_output, audio_output = sorted(draw(st.tuples(*[st.integers(0, 300_000_000)] * 2)))
    return Rates(text, cached, written, audio, cached_audio, text_output, audio_output)


@st.composite
def prices(draw: st.DrawFn) -> Price:
    """With up to two tiers, each as dear as what is below it or dearer."""
    base = draw(rates())
    starts = sorted(draw(st.sets(st.integers(0, 5_000_000), max_size=2)))
    dearer = {number: [getattr(base, name) * number for name in Rates.__slots__] for number in (2, 3)}
    return Price(base, tuple((start, Rates(*dearer[number + 2])) for number, start in enumerate(starts)))


def usages(numbers: st.SearchStrategy[int]) -> st.SearchStrategy[dict[str, int]]:
    return st.fixed_dictionaries(
        {name: numbers for name in ("input_tokens", "output_tokens", *PARTS)}  # noqa: C420
    )


def cost(price: Price | Rates, input_tokens: int = 0, output_tokens: int = 0, **parts: int) -> int:
    price = Price(price) if isinstance(price, Rates) else price
    return price.cost_microusd(input_tokens=input_tokens, output_tokens=output_tokens, **parts)


def test_a_million_tokens_cost_what_the_price_list_says() -> None:
    assert cost(TEXT, 1_000_000) == 2_000_000
    assert cost(TEXT, 0, 1_000_000) == 8_000_000
    assert cost(TEXT, 1_000_000, cached_tokens=1_000_000) == 1_000_000
    assert cost(TEXT, 1_000_000, 1_000_000, cached_tokens=400_000) == 1_200_000 + 400_000 + 8_000_000


def test_nothing_costs_nothing() -> None:
    assert cost(TEXT) == 0


@pytest.mark.parametrize(("tokens", "microusd"), [(1, 1), (9, 1), (10, 1), (11, 2)])
def test_fractions_are_rounded_up(tokens: int, microusd: int) -> None:
    assert cost(Rates.of(text_input=100_000, text_output=0), tokens) == microusd


def test_audio_is_a_part_of_input_and_output_with_rates_of_its_own() -> None:
    assert cost(VOICE, 1_000, audio_input_tokens=600) == 400 * 4 + 600 * 32
    assert cost(VOICE, 0, 1_000, audio_output_tokens=600) == 400 * 16 + 600 * 64


def test_cached_tokens_are_taken_as_text_before_audio() -> None:
    assert cost(VOICE, 1_000, audio_input_tokens=600, cached_tokens=400) == 160 + 600 * 32
    assert cost(VOICE, 1_000, audio_input_tokens=600, cached_tokens=900) == 160 + 150 + 100 * 32


@pytest.mark.parametrize(("told", "audio"), [(0, 0), (3, 3), (10, 10), (99, 10), (None, 0)])
def test_cached_audio_is_counted_as_far_as_it_is_told(told: int | None, audio: int) -> None:
    """Of 10 cached tokens; 15 are text and 10 audio. Not told: as many as can be are text."""
    rates = Rates.of(text_input=0, text_output=0, cached_input=0, audio_input=0, cached_audio_input=1_000_000)
    costs = Price(rates).cost_microusd(
        input_tokens=25, output_tokens=0, cached_tokens=10, audio_input_tokens=10, cached_audio_tokens=told
    )
    assert costs == audio


def test_tokens_written_to_the_cache_have_their_rate() -> None:
    writing = Rates.of(text_input=4_000_000, cached_input=400_000, cache_write=5_000_000, text_output=0)
    assert cost(writing, 1_000, cached_tokens=300, cache_write_tokens=500) == 200 * 4 + 120 + 500 * 5


def test_parts_without_rates_cost_what_the_whole_costs() -> None:
    plain = Rates.of(text_input=3_000_000, text_output=5_000_000)
    parts = {
        "cached_tokens": 20,
        "cache_write_tokens": 30,
        "audio_input_tokens": 40,
        "audio_output_tokens": 50,
    }
    assert cost(plain, 100, 100, **parts) == 800


def test_cached_audio_without_a_rate_costs_what_audio_costs() -> None:
    voice = Rates.of(text_input=1_000_000, cached_input=0, audio_input=9_000_000, text_output=0)
    assert cost(voice, 10, cached_tokens=10, audio_input_tokens=10) == 90


@pytest.mark.parametrize(("tokens", "usd_per_million"), [(100, 1), (101, 2), (200, 2), (201, 5)])
def test_crossing_a_tier_applies_its_rates_to_all_tokens(tokens: int, usd_per_million: int) -> None:
    tiers = tuple(
        (above, Rates.of(text_input=usd * USD_PER_MILLION, text_output=10 * usd * USD_PER_MILLION))
        for above, usd in ((100, 2), (200, 5))
    )
    price = Price(Rates.of(text_input=USD_PER_MILLION, text_output=10 * USD_PER_MILLION), tiers)
    assert cost(price, tokens, 7) == tokens * usd_per_million + 70 * usd_per_million


@pytest.mark.parametrize(
    ("usage", "sane"),
    [
        ({"cached_tokens": 11}, {"cached_tokens": 10}),
        ({"audio_input_tokens": 11}, {"audio_input_tokens": 10}),
        ({"audio_output_tokens": 21}, {"audio_output_tokens": 20}),
        ({"cached_tokens": 4, "cache_write_tokens": 11}, {"cached_tokens": 4, "cache_write_tokens": 6}),
        ({"cached_tokens": -1, "audio_input_tokens": -1, "audio_output_tokens": -1}, {}),
    ],
)
def test_parts_larger_than_the_whole_are_the_whole(usage: dict[str, int], sane: dict[str, int]) -> None:
    assert cost(VOICE, 10, 20, **usage) == cost(VOICE, 10, 20, **sane)


def test_negative_numbers_are_0() -> None:
    assert cost(VOICE, -5, 3) == cost(VOICE, 0, 3)
    assert cost(VOICE, 3, -5) == cost(VOICE, 3, 0)
    assert Price(VOICE).worst_case_microusd(input_tokens=-5, output_tokens=-5) == 0


@given(prices(), usages(nonsense))
def test_no_request_costs_more_than_the_worst_case_of_its_size(price: Price, usage: dict[str, int]) -> None:
    worst = price.worst_case_microusd(
        input_tokens=usage["input_tokens"], output_tokens=usage["output_tokens"]
    )
    assert type(worst) is int
    assert 0 <= price.cost_microusd(**usage) <= worst


@given(prices(), usages(counts), counts, counts)
def test_worst_case_holds_for_every_smaller_request(
    price: Price, usage: dict[str, int], more_input: int, more_output: int
) -> None:
    worst = price.worst_case_microusd(
        input_tokens=usage["input_tokens"] + more_input, output_tokens=usage["output_tokens"] + more_output
    )
    assert price.cost_microusd(**usage) <= worst


def test_worst_case_is_that_of_the_dearest_parts_and_tier() -> None:
    dearer = Rates.of(text_input=6_000_000, audio_input=40_000_000, text_output=20_000_000)
    price = Price(VOICE, ((1_000, dearer),))
    assert price.worst_case_microusd(input_tokens=1_000, output_tokens=10) == 1_000 * 32 + 10 * 64
    assert price.worst_case_microusd(input_tokens=1_001, output_tokens=10) == 1_001 * 40 + 10 * 64


@given(prices(), usages(counts), st.sampled_from(["input_tokens", "output_tokens", *PARTS]), counts)
def test_more_tokens_never_cost_less_unless_they_are_cached(
    price: Price, usage: dict[str, int], name: str, more: int
) -> None:
    before = price.cost_microusd(**usage)
    after = price.cost_microusd(**{**usage, name: usage[name] + more})
    assert before >= after if name == "cached_tokens" else before <= after


@given(rates(), usages(counts), usages(counts))
def test_two_requests_cost_at_most_one_microusd_more_than_both_in_one(
    each: Rates, first: dict[str, int], second: dict[str, int]
) -> None:
    first, second = _consistent(first), _consistent(second)
    both = {name: first[name] + second[name] for name in first}
    price = Price(each)
    apart = price.cost_microusd(**first) + price.cost_microusd(**second)
    assert 0 <= apart - price.cost_microusd(**both) <= 1


def _consistent(usage: dict[str, int]) -> dict[str, Any]:
    """Text, of which a part is cached and a part written, so that no part is cut short."""
    cached = min(usage["cached_tokens"], usage["input_tokens"])
    written = min(usage["cache_write_tokens"], usage["input_tokens"] - cached)
    audio_output = min(usage["audio_output_tokens"], usage["output_tokens"])
    return {
        **usage,
        "cached_tokens": cached,
        "cache_write_tokens": written,
        "audio_input_tokens": 0,
        "audio_output_tokens": audio_output,
    }
