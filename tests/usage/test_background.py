"""Work that goes on upstream by itself is charged once, when it is found finished."""

from functools import partial
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from proxy.bill import finished as finished_work
from proxy.metering.background import read_work
from tests.factories import AccessTokenFactory, usage_entry
from tokens.models import AccessToken
from usage.background import FindPrice
from usage.batches import write_batch as write
from usage.daily_spend import DayOfUse
from usage.entry import Finished, UsageEntry
from usage.models import BackgroundWork, DailySpend, UsageRecord
from usage.outcomes import CostSource, UsageSource
from usage.prices import Price, Rates

pytestmark = pytest.mark.django_db
DAY = 86_400.0
BEGAN_AT = 1_767_225_600.0 + 10 * DAY
PRICE = Price(Rates.of(text_input=0, text_output=1_000_000))
"""A micro-USD for each model token of output."""
write_batch = partial(write, find_price=lambda model, tier: PRICE)


@pytest.fixture
def token() -> AccessToken:
    return AccessTokenFactory.create()


def begun(token: AccessToken, cost: int | None = 900, **facts: Any) -> UsageEntry:
    source = CostSource.UNPRICED if cost is None else CostSource.PRICE
    facts = {"started_at": BEGAN_AT, "cost_source": source, "cost_microusd": cost, **facts}
    return usage_entry(token, id=uuid7(), method="POST", work_id="resp_1", begins_work=True, **facts)


def found(token: AccessToken, cost: int = 7, **facts: Any) -> UsageEntry:
    used = UsageEntry(id=uuid7(), started_at=0, method="", path="", model="gpt-5-2025-08-07")
    used.usage_source, used.input_tokens, used.output_tokens = UsageSource.UPSTREAM, 3, cost
    facts = {"work_id": "resp_1", "started_at": BEGAN_AT + 3 * DAY, **facts}
    facts |= {"cost_source": CostSource.FREE, "cost_microusd": 0}
    facts = {"finished": Finished(used), **facts}
    return usage_entry(token, id=uuid7(), method="GET", **facts)


def priced(model: str) -> FindPrice:
    """Only this one is."""
    return lambda name, tier: PRICE if name == model else None


def spent(subject_id: Any) -> list[tuple[int, int]]:
    """Requests and costs by day."""
    days = DailySpend.objects.filter(subject_id=subject_id).order_by("day")
    return list(days.values_list("requests", "cost_microusd"))


@pytest.mark.parametrize("cost", [7, 5000])
@pytest.mark.parametrize("batches", [1, 2])
def test_creation_is_charged_what_the_work_is_found_to_have_used(
    token: AccessToken, cost: int, batches: int
) -> None:
    entries = [begun(token), found(token, cost)]
    for batch in [entries] if batches == 1 else [[entry] for entry in entries]:
        write_batch(batch)

    record = UsageRecord.objects.get(pk=entries[0].id)
    assert (record.cost_microusd, record.cost_source, record.usage_source) == (cost, "price", "upstream")
    assert (record.input_tokens, record.output_tokens) == (3, cost)
    assert UsageRecord.objects.get(pk=entries[1].id).cost_microusd == 0
    assert spent(token.id) == spent(token.project_id) == [(1, cost), (1, 0)]


def test_it_is_charged_once_however_often_it_is_found(token: AccessToken) -> None:
    corrections: list[list[DayOfUse]] = []
    write_batch([begun(token)])
    write_batch([found(token, 7), found(token, 7)], corrections.append)
    write_batch([found(token, 8)], corrections.append)

    assert spent(token.id) == [(1, 7), (3, 0)]
    assert BackgroundWork.objects.get().finished_at is not None


def test_corrections_are_told_when_they_are_certain(
    token: AccessToken, django_capture_on_commit_callbacks: Any
) -> None:
    corrections: list[list[DayOfUse]] = []
    write_batch([begun(token)])
    with django_capture_on_commit_callbacks(execute=True):
        write_batch([found(token, 7)], corrections.append)
        assert not corrections

    assert [(day.token_id, day.cost_microusd) for (day,) in corrections] == [(token.id, 7 - 900)]


def test_work_without_a_price_gets_one(token: AccessToken) -> None:
    entry = begun(token, None)
    write_batch([entry])
    write_batch([found(token, 7)])

    assert UsageRecord.objects.get(pk=entry.id).cost_microusd == 7
    assert spent(token.id) == [(1, 7), (1, 0)]


def test_words_of_upstream_are_cut_to_their_columns(token: AccessToken) -> None:
    entries = [begun(token), found(token)]
    assert entries[1].finished is not None
    used = entries[1].finished.used
    assert used is not None
    used.model, used.service_tier = "m" * 500, "t\0" * 50
    write_batch(entries)

    record = UsageRecord.objects.get(pk=entries[0].id)
    assert (record.model, record.service_tier) == ("m" * 100, "t\ufffd" * 10)


def test_what_was_not_begun_here_is_not_charged(token: AccessToken) -> None:
    write_batch([begun(token)])
    write_batch([found(AccessTokenFactory.create()), found(token, work_id="resp_2")])

    assert spent(token.id) == [(1, 900), (1, 0)]


def test_its_price_is_that_of_the_name_that_was_asked_for(token: AccessToken) -> None:
    entry = begun(token, model="gpt-5")
    write([entry, found(token, 7)], find_price=priced("gpt-5"))

    record = UsageRecord.objects.get(pk=entry.id)
    assert (record.cost_microusd, record.model) == (7, "gpt-5-2025-08-07")


def test_the_answering_name_has_the_price_where_the_other_has_none(token: AccessToken) -> None:
    entry = begun(token, model="mine")
    write([entry, found(token, 7)], find_price=priced("gpt-5-2025-08-07"))

    assert UsageRecord.objects.get(pk=entry.id).cost_microusd == 7


def test_without_a_price_it_is_charged_as_before_and_can_be_found_again(token: AccessToken) -> None:
    entry = begun(token)
    write([entry, found(token, 7)])
    assert UsageRecord.objects.get(pk=entry.id).cost_microusd == 900
    write_batch([found(token, 7)])
    assert UsageRecord.objects.get(pk=entry.id).cost_microusd == 7


def test_a_batch_is_not_priced_as_one_long_prompt(token: AccessToken) -> None:
    entry = begun(token, None)
    dear = Price(PRICE.rates, tiers=((1000, Rates.of(text_input=0, text_output=9_000_000)),))
    batch = found(token, 7)
    assert batch.finished is not None
    assert batch.finished.used is not None
    batch.finished.used.input_tokens = 100_000
    batch.finished = Finished(batch.finished.used, is_batch=True)
    write([entry, batch], find_price=lambda model, tier: dear if tier == "batch" else None)

    assert UsageRecord.objects.get(pk=entry.id).cost_microusd == 7


def test_work_that_failed_is_charged_its_likely_input(token: AccessToken) -> None:
    entry = begun(token, model="gpt-5", request_bytes=400, output_tokens=16_384)
    failed = found(token, finished=Finished(None))
    price = Price(Rates.of(text_input=1_000_000, text_output=1_000_000))
    write([entry, failed], find_price=lambda model, tier: price if model == "gpt-5" else None)

    record = UsageRecord.objects.get(pk=entry.id)
    assert (record.usage_source, record.input_tokens, record.output_tokens) == ("estimated", 100, 0)
    assert record.cost_microusd == 100
    assert spent(token.id) == [(1, 100), (1, 0)]


@pytest.mark.parametrize(("seconds", "output_tokens"), [(0.0, 0), (20.0, 2000), (600.0, 16_384), (-5.0, 0)])
def test_cancelled_work_is_charged_by_the_time_up_to_its_worst_case(
    token: AccessToken, seconds: float, output_tokens: int
) -> None:
    entry = begun(token, 16_384, output_tokens=16_384, input_tokens=400, request_bytes=400)
    write_batch([entry, found_cancelled(token, seconds)])

    record = UsageRecord.objects.get(pk=entry.id)
    assert (record.usage_source, record.input_tokens) == ("estimated", 100)
    assert record.output_tokens == record.cost_microusd == output_tokens
    assert sum(cost for _, cost in spent(token.id)) == output_tokens


def test_cancelling_does_not_hide_what_upstream_adds_to_the_input(token: AccessToken) -> None:
    entry = begun(token, input_tokens=128_000, output_tokens=10, request_bytes=400)
    write_batch([entry, found_cancelled(token, 1.0)])

    record = UsageRecord.objects.get(pk=entry.id)
    assert (record.input_tokens, record.output_tokens) == (128_000, 10)


def found_cancelled(token: AccessToken, seconds: float) -> UsageEntry:
    """So long after it began; the last half of a second is the request's own."""
    finished = finished_work(read_work(b'{"id":"resp_1","background":true,"status":"cancelled"}'), None)
    at = BEGAN_AT + seconds - 0.5
    return found(token, finished=finished, started_at=at, duration_seconds=0.5)
