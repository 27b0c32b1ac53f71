from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from projects.models import UnpricedPolicy
from proxy.bill import UNKNOWN_MAX_OUTPUT_TOKENS, Bill
from proxy.endpoints import Endpoint
from proxy.errors import Forbidden
from proxy.facts import Facts
from proxy.metering.usage import Usage
from tests.grants import make_grant
from tokens.grant import Grant
from tokens.limits.values import NOTHING, Charge, Limits
from usage.costs import OUTPUT_TOKENS_PER_SECOND
from usage.entry import UsageEntry
from usage.outcomes import CostSource, UsageSource
from usage.price_book import PriceBook
from usage.price_overrides import Override
from usage.prices import Rates

PRICES = PriceBook()
CHAT = Endpoint(path="/chat/completions", methods=("GET", "POST"), usage="openai")
EMBEDDINGS = Endpoint(path="/embeddings", methods=("POST",), usage="input")
SPEECH = Endpoint(path="/audio/speech", methods=("POST",), usage="speech")
VIDEOS = Endpoint(path="/videos", methods=("POST",), usage="unreported")
FILES = Endpoint(path="/files", methods=("POST",), usage="none")
DOLLAR = Limits(budgets=(1_000_000, None, None, None))
BUDGETED = make_grant(token_limits=DOLLAR)
FLAT = replace(BUDGETED, unpriced_policy=UnpricedPolicy.FLAT, flat_price_microusd=500)


def a_bill(
    model: str = "gpt-4o",
    *,
    grant: Grant = BUDGETED,
    endpoint: Endpoint = CHAT,
    method: str = "POST",
    body_bytes: int = 1000,
    **facts: Any,
) -> Bill:
    return Bill(grant, endpoint, method, Facts(model=model, **facts), body_bytes, PRICES)


def close(
    bill: Bill,
    usage: Usage | None,
    *,
    is_whole: bool = True,
    pieces: int = 0,
    bytes_heard: int = 0,
    silent_seconds: float = 0.0,
    is_stream: bool = False,
    body_bytes: int = 0,
    answering_model: str = "",
) -> tuple[UsageEntry, Charge]:
    entry = UsageEntry(id=uuid7(), started_at=0, method="POST", path="/v1/x", is_stream=is_stream)
    return entry, bill.close(
        entry,
        usage,
        is_whole=is_whole,
        pieces=pieces,
        bytes_heard=bytes_heard,
        silent_seconds=silent_seconds,
        body_bytes=body_bytes,
        answering_model=lambda: answering_model,
    )


@pytest.mark.parametrize("asked_for", ["", "our-alias"])
def test_what_reports_nothing_is_estimated_by_the_model_that_it_names(asked_for: str) -> None:
    bill = a_bill(asked_for, grant=make_grant())
    entry, _ = close(bill, None, pieces=100, is_stream=True, answering_model="gpt-4o")

    assert entry.usage_source is UsageSource.ESTIMATED
    assert (entry.input_tokens, entry.output_tokens) == (250, 100)
    assert (entry.cost_source, entry.cost_microusd) == (CostSource.PRICE, 625 + 1000)


def test_the_model_that_answered_is_noted_where_none_was_seen() -> None:
    entry, _ = close(a_bill("", grant=make_grant()), None, answering_model="what-is-this")
    assert (entry.model, entry.usage_source, entry.cost_source) == (
        "what-is-this",
        UsageSource.NONE,
        CostSource.UNPRICED,
    )


def test_a_model_with_a_price_and_what_is_never_reported_ask_no_answer() -> None:
    video = a_bill("", grant=make_grant(), endpoint=VIDEOS)
    assert close(video, None, answering_model="gpt-4o")[0].cost_source is CostSource.UNPRICED
    known, _ = close(a_bill("gpt-4o-mini"), None, pieces=100, answering_model="gpt-4o")
    assert known.cost_microusd == close(a_bill("gpt-4o-mini"), None, pieces=100)[0].cost_microusd


def test_of_a_stream_that_broke_off_the_pieces_count_though_its_body_was_not_seen() -> None:
    bill = a_bill("", grant=make_grant(), body_bytes=0)
    entry, _ = close(
        bill,
        None,
        is_whole=False,
        pieces=5,
        bytes_heard=10_000,
        is_stream=True,
        body_bytes=4000,
        answering_model="gpt-4o",
    )
    assert (entry.input_tokens, entry.output_tokens) == (1000, 5)


def test_no_input_is_estimated_beyond_the_models_context() -> None:
    entry, _ = close(a_bill(body_bytes=10**7), None, pieces=1)
    assert entry.input_tokens == 128_000


def test_worst_case_is_a_token_a_byte_and_what_the_client_asks_for() -> None:
    estimate = a_bill(max_output_tokens=100).estimate()
    assert estimate.microusd == 1000 * 5 // 2 + 100 * 10  # 2.50 and 10 USD per million
    assert estimate.model_tokens == 250 + 100
    assert estimate.is_output_stated


def test_output_that_is_not_bounded_is_what_the_model_can() -> None:
    estimate = a_bill(choices=2).estimate()
    assert estimate.microusd == 2500 + 2 * 16_384 * 10
    assert not estimate.is_output_stated


def test_input_is_never_more_than_the_models_context() -> None:
    large = a_bill(max_output_tokens=1, body_bytes=10**7).estimate()
    elsewhere = a_bill(max_output_tokens=1, has_input_elsewhere=True).estimate()
    assert large.microusd == elsewhere.microusd == 128_000 * 5 // 2 + 10


def test_embeddings_have_no_output() -> None:
    estimate = a_bill("text-embedding-3-small", endpoint=EMBEDDINGS, body_bytes=1_000_000).estimate()
    assert estimate.microusd == 8192 * 2 // 100 + 1  # rounded up
    assert estimate.model_tokens == 250_000
    assert estimate.is_output_stated


@pytest.mark.parametrize("bill", [a_bill(endpoint=FILES), a_bill(method="GET")])
def test_what_costs_nothing_reserves_nothing_and_is_charged_nothing(bill: Bill) -> None:
    assert bill.estimate() == NOTHING
    entry, charge = close(bill, Usage("gpt-4o", input_tokens=5))
    assert charge == Charge()
    assert (entry.cost_source, entry.cost_microusd) == (CostSource.FREE, 0)


def test_each_of_several_texts_may_be_as_long_as_the_context() -> None:
    bill = a_bill("text-embedding-3-small", endpoint=EMBEDDINGS, body_bytes=1_000_000, inputs=50)
    assert bill.estimate().microusd == 50 * 8192 * 2 // 100


def test_without_limits_nothing_is_estimated() -> None:
    assert a_bill(grant=make_grant()).estimate() == NOTHING


def test_without_a_budget_no_money_is_estimated() -> None:
    grant = make_grant(token_limits=Limits(max_model_tokens_per_minute=5))
    assert a_bill(grant=grant, max_output_tokens=1).estimate().microusd == 0


def test_reported_usage_is_charged_exactly() -> None:
    usage = Usage("gpt-4o-2024-08-06", input_tokens=1000, output_tokens=200, cached_tokens=400)
    entry, charge = close(a_bill(), usage)
    assert charge == Charge(1200, 600 * 5 // 2 + 400 * 5 // 4 + 200 * 10)
    assert (entry.cost_source, entry.cost_microusd) == (CostSource.PRICE, charge.microusd)
    assert (entry.usage_source, entry.model) == (UsageSource.UPSTREAM, "gpt-4o-2024-08-06")


def test_the_tier_that_was_used_sets_the_price() -> None:
    standard, _ = close(a_bill(), Usage("gpt-4o", input_tokens=1000, output_tokens=0))
    priority, _ = close(a_bill(), Usage("gpt-4o", 1000, 0, service_tier="priority"))
    assert (standard.cost_microusd, priority.cost_microusd) == (2500, 4250)
    assert priority.service_tier == "priority"


def test_a_model_that_only_the_answer_names_has_its_price() -> None:
    entry, _ = close(a_bill(model=""), Usage("gpt-4o", input_tokens=1000, output_tokens=0))
    assert (entry.cost_source, entry.cost_microusd) == (CostSource.PRICE, 2500)


def test_stream_without_usage_is_estimated_by_what_passed() -> None:
    entry, charge = close(a_bill(max_output_tokens=100), None, pieces=40)
    assert entry.usage_source is UsageSource.ESTIMATED
    assert (entry.input_tokens, entry.output_tokens) == (250, 40)
    assert entry.cost_microusd == charge.microusd == 250 * 5 // 2 + 40 * 10


def test_answer_without_usage_is_estimated_by_its_size() -> None:
    entry, _ = close(a_bill(max_output_tokens=1000), None, bytes_heard=400)
    assert entry.output_tokens == 100


def test_background_work_is_charged_at_its_worst() -> None:
    bill = a_bill(max_output_tokens=5000, is_background=True, has_input_elsewhere=True)
    entry, charge = close(bill, None, bytes_heard=100)
    assert (entry.input_tokens, entry.output_tokens) == (128_000, 5000)
    assert charge.microusd == bill.estimate().microusd


@pytest.mark.parametrize(
    ("grant", "is_whole", "input_tokens"),
    [(BUDGETED, False, 128_000), (BUDGETED, True, 250), (make_grant(), False, 250)],
)
def test_hanging_up_does_not_hide_what_upstream_adds_to_the_input(
    grant: Grant, is_whole: bool, input_tokens: int
) -> None:
    bill = a_bill(grant=grant, has_input_elsewhere=True)
    entry, _ = close(bill, None, is_whole=is_whole, pieces=10)
    assert entry.input_tokens == input_tokens


def test_estimate_has_the_price_of_the_tier_that_was_asked_for() -> None:
    standard, _ = close(a_bill(), None, pieces=100)
    priority, _ = close(a_bill(service_tier="priority"), None, pieces=100)
    assert priority.cost_microusd > standard.cost_microusd


def test_price_that_is_removed_meanwhile_is_charged_all_the_same() -> None:
    prices = PriceBook()
    prices.set_overrides((Override("mine", Rates.of(text_input=10**6, text_output=10**6), None, None),))
    bill = Bill(BUDGETED, CHAT, "POST", Facts(model="mine"), 100, prices)
    prices.set_overrides(())
    entry, charge = close(bill, Usage("mine", 10, 20))
    assert (entry.cost_source, charge.microusd) == (CostSource.PRICE, 30)


def test_answer_that_nobody_saw_is_estimated_by_the_time_it_took() -> None:
    entry, _ = close(a_bill(max_output_tokens=1000), None, silent_seconds=2)
    assert entry.output_tokens == 2 * OUTPUT_TOKENS_PER_SECOND
    entry, _ = close(a_bill(max_output_tokens=10), None, silent_seconds=2)
    assert entry.output_tokens == 10


def test_model_without_a_price_is_unpriced_and_never_zero() -> None:
    bill = a_bill("who-knows")
    assert bill.estimate().microusd == 0
    assert bill.estimate().model_tokens == 250 + UNKNOWN_MAX_OUTPUT_TOKENS
    entry, charge = close(bill, Usage("who-knows", input_tokens=5, output_tokens=6))
    assert (entry.cost_source, entry.cost_microusd) == (CostSource.UNPRICED, None)
    assert charge == Charge(model_tokens=11, microusd=0)


def test_stream_of_a_model_without_a_price_is_estimated_by_its_pieces() -> None:
    entry, charge = close(a_bill("who-knows", is_stream=True), None, is_whole=False, pieces=40)
    assert (entry.usage_source, entry.input_tokens, entry.output_tokens) == (UsageSource.ESTIMATED, 250, 40)
    assert (entry.cost_source, entry.cost_microusd) == (CostSource.UNPRICED, None)
    assert charge == Charge(model_tokens=290, microusd=0)


def test_picture_of_a_model_without_a_price_is_not_estimated_by_its_bytes() -> None:
    entry, charge = close(a_bill("who-knows"), None, bytes_heard=1_000_000)
    assert (entry.usage_source, entry.output_tokens, charge.model_tokens) == (UsageSource.NONE, None, 0)


def test_model_without_a_price_is_refused_where_the_project_says_so() -> None:
    grant = make_grant(unpriced_policy=UnpricedPolicy.REFUSE)
    with pytest.raises(Forbidden) as refused:
        a_bill("who-knows", grant=grant).estimate()
    assert (refused.value.code, refused.value.param) == ("model_unpriced", "model")
    assert a_bill(grant=grant).estimate() == NOTHING
    assert a_bill("", grant=grant, endpoint=FILES).estimate() == NOTHING


@pytest.mark.parametrize(("model", "endpoint"), [("who-knows", CHAT), ("tts-1", SPEECH), ("gpt-4o", VIDEOS)])
def test_flat_price_is_reserved_and_charged(model: str, endpoint: Endpoint) -> None:
    bill = a_bill(model, grant=FLAT, endpoint=endpoint)
    assert bill.estimate().microusd == 500
    entry, charge = close(bill, None)
    assert (entry.cost_source, entry.cost_microusd, charge.microusd) == (CostSource.FLAT, 500, 500)


@given(
    st.integers(0, 10**6),
    st.integers(1, 20_000),
    st.integers(0, 20_000),
    st.integers(0, 10**6),
    st.sampled_from(["gpt-4o", "gpt-5", "gpt-5.4", "gpt-4o-audio-preview"]),
)
def test_charge_never_exceeds_the_worst_case_when_upstream_keeps_to_it(
    body_bytes: int, most: int, output: int, cached: int, model: str
) -> None:
    bill = a_bill(model, body_bytes=body_bytes, max_output_tokens=most)
    usage = Usage(
        model, input_tokens=body_bytes, output_tokens=min(most, output), cached_tokens=min(cached, body_bytes)
    )
    context = PRICES.find(model).context_window
    if body_bytes <= context:
        assert close(bill, usage)[1].microusd <= bill.estimate().microusd


@pytest.mark.parametrize("is_whole", [True, False])
def test_speech_is_estimated_by_its_text_whoever_listens(is_whole: bool) -> None:
    bill = a_bill("gpt-4o-mini-tts", endpoint=SPEECH, body_bytes=4200, spoken_bytes=4000)
    entry, charge = close(bill, None, is_whole=is_whole, bytes_heard=100_000, silent_seconds=60)
    assert (entry.usage_source, entry.cost_source) == (UsageSource.ESTIMATED, CostSource.PRICE)
    assert (entry.input_tokens, entry.output_tokens, entry.audio_output_tokens) == (1050, 6000, 6000)
    assert charge.microusd == entry.cost_microusd == 1050 * 6 // 10 + 6000 * 12
    assert charge.microusd < bill.estimate().microusd


def test_running_stream_has_used_what_it_has_brought() -> None:
    bill = a_bill(max_output_tokens=5)
    assert bill.used_microusd(pieces=0) == 625
    assert bill.used_microusd(pieces=102) == 625 + 1000
    assert a_bill("who-knows").used_microusd(pieces=100) == 0


def test_what_broke_off_after_some_usage_was_reported_is_reported_in_part() -> None:
    usage = Usage("gpt-4o", input_tokens=100, output_tokens=10)
    entry, charge = close(a_bill(), usage, is_whole=False, pieces=32)
    assert (entry.usage_source, entry.input_tokens, entry.output_tokens) == (UsageSource.PARTIAL, 100, 30)
    assert charge.microusd == entry.cost_microusd == 100 * 5 // 2 + 30 * 10


@pytest.mark.parametrize(
    ("grant", "source", "cost"), [(BUDGETED, CostSource.UNPRICED, None), (FLAT, CostSource.FLAT, 500)]
)
def test_what_is_measured_in_seconds_has_no_price(grant: Grant, source: CostSource, cost: int | None) -> None:
    entry, _ = close(a_bill(grant=grant), Usage(audio_seconds=3.0))
    assert (entry.usage_source, entry.audio_seconds) == (UsageSource.UPSTREAM, 3.0)
    assert (entry.cost_source, entry.cost_microusd) == (source, cost)


@pytest.mark.parametrize("choices", [1, 20])
def test_time_that_nobody_saw_counts_for_each_output(choices: int) -> None:
    entry, _ = close(a_bill(choices=choices), None, is_whole=False, silent_seconds=10)
    assert entry.output_tokens == 10 * OUTPUT_TOKENS_PER_SECOND * choices


@pytest.mark.parametrize("pieces", [0, 1, 700])
def test_a_stream_that_broke_off_is_charged_its_pieces_and_its_silence(pieces: int) -> None:
    bill = a_bill("o3", is_stream=True)
    entry, _ = close(bill, None, is_whole=False, pieces=pieces, bytes_heard=300 * pieces, silent_seconds=60)
    assert entry.output_tokens == 6000 + pieces


def test_a_stream_that_was_never_silent_is_charged_its_pieces() -> None:
    entry, _ = close(a_bill(is_stream=True), None, is_whole=False, pieces=700, silent_seconds=0)
    assert entry.output_tokens == 700


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 9000), st.floats(0, 5)), min_size=1, max_size=20),
    st.sampled_from([1, 3]),
)
def test_hanging_up_later_is_never_cheaper_and_never_above_the_worst_case(
    steps: list[tuple[int, int, float]], choices: int
) -> None:
    bill = a_bill(is_stream=True, max_output_tokens=2000, choices=choices)
    pieces, bytes_heard, seconds, before = 0, 0, 0.0, 0
    for step in steps:
        pieces, bytes_heard, seconds = pieces + step[0], bytes_heard + step[1], seconds + step[2]
        _, charge = close(
            bill,
            None,
            is_whole=False,
            pieces=min(pieces, 2000),
            bytes_heard=bytes_heard,
            silent_seconds=seconds,
        )
        assert before <= charge.microusd <= bill.estimate().microusd
        before = charge.microusd


def test_a_whole_answer_is_not_charged_for_its_time() -> None:
    entry, _ = close(a_bill(is_stream=True), None, pieces=40, bytes_heard=9000, silent_seconds=60)
    assert entry.output_tokens == 40


def test_input_that_upstream_counts_oddly_is_estimated() -> None:
    entry, _ = close(a_bill(), Usage("gpt-4o", output_tokens=7))
    assert (entry.usage_source, entry.input_tokens, entry.output_tokens) == (UsageSource.PARTIAL, 250, 7)
