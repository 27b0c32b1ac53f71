"""Work that goes on upstream by itself is charged once, when it is found finished."""

from typing import Any

import pytest
from uuid_utils.compat import uuid7

from tests.factories import AccessTokenFactory, usage_entry
from tokens.models import AccessToken
from usage.daily_spend import DayOfUse
from usage.entry import UsageEntry
from usage.ledger import write_batch
from usage.models import BackgroundWork, DailySpend, UsageRecord
from usage.outcomes import CostSource, UsageSource

pytestmark = pytest.mark.django_db
DAY = 86_400.0
BEGAN_AT = 1_767_225_600.0 + 10 * DAY


@pytest.fixture
def token() -> AccessToken:
    return AccessTokenFactory.create()


def begun(token: AccessToken, cost: int | None = 900, **facts: Any) -> UsageEntry:
    source = CostSource.UNPRICED if cost is None else CostSource.PRICE
    facts = {"started_at": BEGAN_AT, "cost_source": source, "cost_microusd": cost, **facts}
    return usage_entry(token, id=uuid7(), method="POST", work_id="resp_1", begins_work=True, **facts)


def found(token: AccessToken, cost: int = 7, **facts: Any) -> UsageEntry:
    used = UsageEntry(id=uuid7(), started_at=0, method="", path="")
    used.usage_source, used.input_tokens, used.output_tokens = UsageSource.UPSTREAM, 3, 4
    used.cost_source, used.cost_microusd = CostSource.PRICE, cost
    facts = {"work_id": "resp_1", "started_at": BEGAN_AT + 3 * DAY, **facts}
    facts |= {"cost_source": CostSource.FREE, "cost_microusd": 0}
    return usage_entry(token, id=uuid7(), method="GET", finished=used, **facts)


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
    assert (record.input_tokens, record.output_tokens) == (3, 4)
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
    entries[1].finished.model, entries[1].finished.service_tier = "m" * 500, "t\0" * 50
    write_batch(entries)

    record = UsageRecord.objects.get(pk=entries[0].id)
    assert (record.model, record.service_tier) == ("m" * 100, "t\ufffd" * 10)


def test_what_was_not_begun_here_is_not_charged(token: AccessToken) -> None:
    write_batch([begun(token)])
    write_batch([found(AccessTokenFactory.create()), found(token, work_id="resp_2")])

    assert spent(token.id) == [(1, 900), (1, 0)]
