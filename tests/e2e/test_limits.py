"""Limits and budgets as the official SDK meets them, on one process."""

import asyncio
from collections.abc import Iterator
from datetime import date
from typing import Any

import httpx
import openai
import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone
from openai import AsyncOpenAI, OpenAI

from tests.factories import ProjectFactory, issue_token
from tests.live import LiveProxy, eventually
from tokens.models import AccessToken
from usage.costs import OUTPUT_TOKENS_PER_SECOND
from usage.models import DailySpend, UsageRecord

MESSAGES = [{"role": "user", "content": "Hi"}]
SLOW = {"x-fake-delay-ms": "1500"}


def test_requests_of_a_minute_are_limited_and_the_client_is_told_when(live: LiveProxy) -> None:
    _token, plain = issue_token(max_requests_per_minute=3)
    with client(live, plain) as sdk:
        answers = [sdk.models.with_raw_response.list() for _ in range(3)]
        with pytest.raises(openai.RateLimitError) as refused:
            sdk.models.list()

    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["2", "1", "0"]
    assert answers[0].headers["x-ratelimit-limit-requests"] == "3"
    headers = refused.value.response.headers
    assert (refused.value.code, refused.value.type) == ("rate_limit_exceeded", "requests")
    assert 55_000 < int(headers["retry-after-ms"]) <= 60_000
    assert int(headers["retry-after"]) * 1000 >= int(headers["retry-after-ms"])
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert "x-should-retry" not in headers


def test_model_tokens_of_a_minute_are_limited_by_what_was_used(live: LiveProxy) -> None:
    _token, plain = issue_token(max_model_tokens_per_minute=200)
    with client(live, plain) as sdk:
        # Each may use 100 and more, and uses 9: what is not used is given back.
        for _ in range(5):
            sdk.chat.completions.create(model="gpt-4o", messages=MESSAGES, max_tokens=100)
        with pytest.raises(openai.RateLimitError) as too_large:
            sdk.chat.completions.create(model="gpt-4o", messages=MESSAGES, max_tokens=500)

    assert (too_large.value.code, too_large.value.type) == ("rate_limit_exceeded", "tokens")
    assert too_large.value.response.headers["x-should-retry"] == "false"  # it would never fit
    assert "up to" in str(too_large.value)


def test_a_request_that_does_not_bound_its_output_passes_alone(live: LiveProxy) -> None:
    _, plain = issue_token(max_model_tokens_per_minute=2000)
    with client(live, plain) as sdk:
        for _ in range(3):
            sdk.chat.completions.create(model="gpt-4o", messages=MESSAGES)


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ({"max_model_tokens_per_minute": 200}, "rate_limit_exceeded"),
        ({"daily_budget_microusd": 200}, "budget_exceeded"),
    ],
)
def test_a_request_that_is_too_large_for_its_limit_is_not_retried(
    live: LiveProxy, limits: dict[str, int], code: str
) -> None:
    token, plain = issue_token(**limits)
    with (
        OpenAI(base_url=live.base_url, api_key=plain) as sdk,
        pytest.raises(openai.RateLimitError) as refused,
    ):
        sdk.chat.completions.create(model="gpt-4o", messages=MESSAGES, max_tokens=500)

    assert refused.value.code == code
    eventually(lambda: UsageRecord.objects.filter(token=token).exists())
    assert UsageRecord.objects.filter(token=token).count() == 1


async def test_concurrent_requests_are_limited_and_a_retry_gets_through(live: LiveProxy) -> None:
    _token, plain = await sync_to_async(issue_token)(max_concurrent_requests=2)
    async with AsyncOpenAI(base_url=live.base_url, api_key=plain, max_retries=0) as sdk:
        running = [asyncio.ensure_future(sdk.models.retrieve("gpt-4o", extra_headers=SLOW)) for _ in range(2)]
        await sync_to_async(eventually)(lambda: live.upstream_stats()["running"] >= 2)
        with pytest.raises(openai.RateLimitError) as refused:
            await sdk.models.list()
        assert refused.value.code == "rate_limit_exceeded"
        # With its default retries the SDK waits as it is told, and gets through.
        assert (await sdk.with_options(max_retries=3).models.list()).data
        await asyncio.gather(*running)


def test_the_limits_of_the_project_hold_for_its_tokens_together(live: LiveProxy) -> None:
    project = ProjectFactory.create(max_requests=3)
    plains = [issue_token(project=project, max_requests=2)[1] for _ in range(2)]
    passed = [
        get(live, plain).status_code for plain in (plains[0], plains[0], plains[0], plains[1], plains[1])
    ]
    assert passed == [200, 200, 429, 200, 429]


def test_budget_is_spent_exactly_and_the_next_request_that_fits_is_admitted(live: LiveProxy) -> None:
    token, plain = issue_token(total_budget_microusd=1000)
    with client(live, plain) as sdk:
        answer = sdk.chat.completions.with_raw_response.create(
            model="gpt-4o", messages=MESSAGES, max_tokens=8
        )
        with pytest.raises(openai.RateLimitError) as too_much:
            sdk.chat.completions.create(model="gpt-4o", messages=MESSAGES, max_tokens=100)
        sdk.chat.completions.create(model="gpt-4o", messages=MESSAGES, max_tokens=8)

    cost = 1 * 5 // 2 + 1 + 8 * 10  # one word in, rounded up, and eight out
    records = eventually(lambda: found if len(found := admitted(token)) == 2 else None)
    assert [record.cost_microusd for record in records] == [cost, cost]
    assert {record.cost_source for record in records} == {"price"}
    assert answer.headers["x-llm-proxy-remaining-budget-usd"].startswith("0.000")
    error = too_much.value
    assert (error.code, error.type) == ("budget_exceeded", "insufficient_quota")
    assert "0.000917 USD are left of the total budget of this access token" in str(error)
    eventually(
        lambda: DailySpend.objects.filter(subject_id=token.id, cost_microusd=2 * cost, requests=2).exists()
    )


async def test_reserved_money_is_not_spent_twice_and_comes_back(live: LiveProxy) -> None:
    _token, plain = await sync_to_async(issue_token)(total_budget_microusd=1000)
    async with AsyncOpenAI(base_url=live.base_url, api_key=plain, max_retries=0) as sdk:

        async def chat(**headers: str) -> Any:
            return await sdk.chat.completions.create(
                model="gpt-4o", messages=MESSAGES, max_tokens=60, extra_headers=headers
            )

        running = asyncio.create_task(chat(**SLOW))
        await sync_to_async(eventually)(lambda: live.upstream_stats()["running"] >= 1)
        with pytest.raises(openai.RateLimitError) as reserved:
            await chat()
        await running
        await chat()

    assert "reserved" in str(reserved.value)
    assert "x-should-retry" not in reserved.value.response.headers
    assert reserved.value.response.headers["retry-after"] == "1"


def test_hang_ups_do_not_leak_what_they_reserved(live: LiveProxy) -> None:
    token, plain = issue_token(max_concurrent_requests=1, total_budget_microusd=300_000)
    body = {"model": "gpt-4o", "messages": MESSAGES, "max_tokens": 25_000}  # most of the budget
    for _ in range(5):
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                f"{live.base_url}/chat/completions",
                json=body,
                headers=bearer(plain) | {"x-fake-hang": "1"},
                timeout=0.2,
            )
        standing = eventually(lambda: (facts := holder(live, plain))["limits"][0]["used"] == 0 and facts)
        assert standing["budgets"][0]["reserved_usd"] == "0.00"
    records = eventually(lambda: len(rows := admitted(token)) == 5 and rows)
    for record in records:  # charged for the time that upstream may have worked, and no more
        assert record.usage_source == "estimated"
        assert 0 < record.output_tokens <= record.duration_seconds * OUTPUT_TOKENS_PER_SECOND
        assert record.cost_microusd < 250_000


@pytest.mark.parametrize(
    ("policy", "status", "source", "cost"),
    [("allow", 200, "unpriced", None), ("flat", 200, "flat", 70), ("refuse", 403, "free", 0)],
)
def test_a_model_without_a_price_is_treated_as_the_project_says(
    live: LiveProxy, policy: str, status: int, source: str, cost: int | None
) -> None:
    project = ProjectFactory.create(unpriced_policy=policy, flat_price_microusd=70)
    token, plain = issue_token(project=project)
    answer = httpx.post(
        f"{live.base_url}/chat/completions",
        json={"model": "who-knows", "messages": MESSAGES},
        headers=bearer(plain),
    )
    assert answer.status_code == status
    record = eventually(lambda: UsageRecord.objects.filter(token=token).first())
    assert (record.cost_source, record.cost_microusd) == (source, cost)


def test_an_upstream_that_cannot_be_reached_costs_nothing(live: LiveProxy) -> None:
    project = ProjectFactory.create(base_url="http://127.0.0.1:9/v1")
    token, plain = issue_token(project=project, total_budget_microusd=100_000)
    with client(live, plain) as sdk, pytest.raises(openai.InternalServerError):
        sdk.chat.completions.create(model="gpt-4o", messages=MESSAGES, max_tokens=8)
    record = eventually(lambda: UsageRecord.objects.filter(token=token).first())
    assert (record.error_code, record.cost_source, record.cost_microusd) == (
        "upstream_unreachable",
        "free",
        0,
    )


def test_an_upload_that_breaks_off_costs_nothing(live: LiveProxy) -> None:
    token, plain = issue_token()

    def half() -> Iterator[bytes]:
        yield b"x" * 100_000
        raise RuntimeError("the client dies")

    with pytest.raises(RuntimeError):
        httpx.post(f"{live.base_url}/audio/transcriptions", content=half(), headers=bearer(plain))
    record = eventually(lambda: UsageRecord.objects.filter(token=token).first())
    assert (record.outcome, record.cost_source) == ("client_closed", "free")


def test_upstreams_errors_cost_nothing(live: LiveProxy) -> None:
    token, plain = issue_token(total_budget_microusd=1000)
    with client(live, plain) as sdk, pytest.raises(openai.InternalServerError):
        sdk.chat.completions.create(
            model="gpt-4o", messages=MESSAGES, max_tokens=8, extra_headers={"x-fake-status": "500"}
        )
    record = eventually(lambda: UsageRecord.objects.filter(token=token).first())
    assert (record.cost_source, record.cost_microusd, record.is_admitted) == ("free", 0, True)


def test_a_limit_that_is_set_later_counts_what_the_ledger_knows(live: LiveProxy) -> None:
    token, plain = issue_token()
    for _ in range(3):
        assert get(live, plain).status_code == 200
    eventually(lambda: DailySpend.objects.filter(subject_id=token.id, requests=3).exists())
    AccessToken.objects.filter(pk=token.pk).update(max_requests=3, updated_at=timezone.now())
    eventually(lambda: get(live, plain).status_code == 429)

    def counted() -> int:
        rows = UsageRecord.objects.filter(token=token, is_admitted=True).count()
        token.refresh_from_db()
        return rows if rows == token.request_count else 0

    assert eventually(counted) >= 3


def test_reaching_a_budget_is_told_in_the_audit_trail(live: LiveProxy) -> None:
    from audit.models import AuditEvent

    token, plain = issue_token(daily_budget_microusd=1200)
    with client(live, plain) as sdk:
        sdk.chat.completions.create(
            model="gpt-4o", messages=MESSAGES, max_tokens=100, extra_headers={"x-fake-chunks": "100"}
        )
    events = eventually(
        lambda: list(AuditEvent.objects.filter(action="budget.threshold_reached", subject_id=str(token.id)))
    )
    assert [(event.details["window"], event.details["percent"]) for event in events] == [("daily", 80)]
    assert events[0].details["period"] == date.today().isoformat()


def client(live: LiveProxy, plain: str) -> OpenAI:
    return OpenAI(base_url=live.base_url, api_key=plain, max_retries=0)


def bearer(plain: str) -> dict[str, str]:
    return {"authorization": f"Bearer {plain}"}


def get(live: LiveProxy, plain: str) -> httpx.Response:
    return httpx.get(f"{live.base_url}/models", headers=bearer(plain))


def holder(live: LiveProxy, plain: str) -> Any:
    return httpx.get(f"{live.url}/token", headers=bearer(plain)).json()


def admitted(token: AccessToken) -> list[UsageRecord]:
    return list(UsageRecord.objects.filter(token=token, is_admitted=True))
