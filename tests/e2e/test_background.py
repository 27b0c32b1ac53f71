"""Background responses, batches and runs are charged what they have used, once, when they are found
finished.
"""

import signal
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.factories import ProjectFactory, issue_token
from tests.live import LiveProxy, eventually, serving
from tokens.models import AccessToken
from usage.models import DailySpend, UsageRecord

RESPONSE = {"model": "gpt-4o", "input": "Hi there", "background": True, "max_output_tokens": 1000}
BATCH = {"input_file_id": "file-1", "endpoint": "/v1/chat/completions", "completion_window": "24h"}


def ask(live: LiveProxy, plain: str, method: str, path: str, work: str = "", **options: Any) -> Any:
    headers = {"authorization": f"Bearer {plain}"} | ({"x-fake-work": work} if work else {})
    answer = httpx.request(method, live.base_url + path, headers=headers, timeout=20, **options)
    assert answer.status_code == 200, answer.text
    return answer.json()


def record_of(token: AccessToken, method: str) -> UsageRecord:
    return eventually(lambda: UsageRecord.objects.filter(token=token, method=method).first())


def spent_usd(live: LiveProxy, plain: str) -> Decimal:
    answer = httpx.get(f"{live.url}/token", headers={"authorization": f"Bearer {plain}"})
    return Decimal(answer.json()["budgets"][0]["spent_usd"])


def test_a_background_response_is_charged_once_when_it_is_found_finished(live: LiveProxy) -> None:
    token, plain = issue_token(total_budget_microusd=1_000_000)
    begun = ask(live, plain, "POST", "/responses", json=RESPONSE)
    assert begun["usage"] is None
    record = record_of(token, "POST")
    assert (record.usage_source, record.output_tokens) == ("estimated", 1000)
    assert spent_usd(live, plain) == Decimal(record.cost_microusd) / 1_000_000

    with ThreadPoolExecutor(4) as pool:
        finished = list(pool.map(lambda _: ask(live, plain, "GET", f"/responses/{begun['id']}"), range(8)))
    eventually(lambda: UsageRecord.objects.filter(token=token).count() == 9)
    record.refresh_from_db()
    usage = finished[0]["usage"]
    assert (record.usage_source, record.cost_source) == ("upstream", "price")
    assert (record.input_tokens, record.output_tokens) == (usage["input_tokens"], usage["output_tokens"])
    assert DailySpend.objects.get(subject_id=token.id).cost_microusd == record.cost_microusd < 1000
    assert DailySpend.objects.get(subject_id=token.project_id).cost_microusd == record.cost_microusd
    eventually(lambda: spent_usd(live, plain) == Decimal(record.cost_microusd) / 1_000_000)


def test_work_that_is_cancelled_is_charged_by_its_time(live: LiveProxy) -> None:
    token, plain = issue_token(total_budget_microusd=1_000_000)
    begun = ask(live, plain, "POST", "/responses", json=RESPONSE)
    worst = record_of(token, "POST").cost_microusd
    ask(live, plain, "GET", f"/responses/{begun['id']}", work="cancelled")
    record_of(token, "GET")

    record = record_of(token, "POST")
    assert record.usage_source == "estimated"
    assert 0 < record.output_tokens <= 1000
    assert record.cost_source == "price"
    assert 0 < record.cost_microusd < worst
    eventually(lambda: spent_usd(live, plain) == Decimal(record.cost_microusd) / 1_000_000)


def test_a_usage_of_zeros_is_none_before_the_work_is_finished(live: LiveProxy) -> None:
    token, plain = issue_token(total_budget_microusd=1_000_000)
    begun = ask(live, plain, "POST", "/responses", work="zeros", json=RESPONSE)
    record = record_of(token, "POST")
    assert (record.usage_source, record.output_tokens) == ("estimated", 1000)
    finished = ask(live, plain, "GET", f"/responses/{begun['id']}")
    record_of(token, "GET")

    record = record_of(token, "POST")
    assert (record.usage_source, record.output_tokens) == ("upstream", finished["usage"]["output_tokens"])


@pytest.mark.redis
def test_budgets_in_redis_learn_what_it_has_used(
    redis_url: str, django_db_setup: None, transactional_db: None, tmp_path: Path
) -> None:
    token, plain = issue_token(total_budget_microusd=1_000_000)
    with serving(tmp_path, REDIS_URL=redis_url) as live:
        begun = ask(live, plain, "POST", "/responses", json=RESPONSE)
        record = record_of(token, "POST")
        ask(live, plain, "GET", f"/responses/{begun['id']}")
        record_of(token, "GET")
        estimated, record = record.cost_microusd, record_of(token, "POST")

        assert record.cost_microusd < estimated
        eventually(lambda: spent_usd(live, plain) == Decimal(record.cost_microusd) / 1_000_000)


@pytest.mark.redis
def test_budgets_in_redis_learn_it_from_a_server_that_stops_at_once(
    redis_url: str, django_db_setup: None, transactional_db: None, tmp_path: Path
) -> None:
    token, plain = issue_token(total_budget_microusd=1_000_000)
    with serving(tmp_path, REDIS_URL=redis_url) as live:
        begun = ask(live, plain, "POST", "/responses", json=RESPONSE)
        record_of(token, "POST")
        ask(live, plain, "GET", f"/responses/{begun['id']}")
        live.process.send_signal(signal.SIGTERM)
        assert live.process.wait(timeout=60) == 0
    with serving(tmp_path, REDIS_URL=redis_url) as live:
        record = record_of(token, "POST")
        assert record.usage_source == "upstream"
        assert spent_usd(live, plain) == Decimal(record.cost_microusd) / 1_000_000


@pytest.mark.parametrize("private_live", [{"REDIS_URL": ""}], indirect=True)
def test_what_was_charged_stays_charged_when_the_server_starts_anew(
    private_live: LiveProxy, live: LiveProxy
) -> None:
    token, plain = issue_token(project=_project_of(live))
    begun = ask(live, plain, "POST", "/responses", json=RESPONSE)
    for server in (private_live, live, private_live):  # other processes on the same database
        ask(server, plain, "GET", f"/responses/{begun['id']}")
    eventually(lambda: UsageRecord.objects.filter(token=token).count() == 4)

    record = record_of(token, "POST")
    assert record.usage_source == "upstream"
    assert DailySpend.objects.get(subject_id=token.id).cost_microusd == record.cost_microusd


def test_a_batch_is_charged_when_it_is_found_finished(live: LiveProxy) -> None:
    token, plain = issue_token()
    begun = ask(live, plain, "POST", "/batches", json=BATCH)
    assert record_of(token, "POST").cost_source == "unpriced"
    ask(live, plain, "GET", f"/batches/{begun['id']}")
    record_of(token, "GET")

    record = record_of(token, "POST")
    assert (record.usage_source, record.cost_source) == ("upstream", "price")
    assert (record.input_tokens, record.output_tokens) == (1000, 200)
    assert record.cost_microusd in (2250, 4500)  # half of it, where the tier of batches has a price


RUN = {"model": "gpt-4o", "assistant_id": "asst_1", "max_completion_tokens": 1000}


@pytest.mark.parametrize("way", ["GET", "cancel", "submit_tool_outputs"])
def test_a_run_is_charged_once_when_it_is_found_finished(live: LiveProxy, way: str) -> None:
    token, plain = issue_token(total_budget_microusd=1_000_000)
    begun = ask(live, plain, "POST", "/threads/thread_1/runs", json=RUN)
    record = eventually(lambda: UsageRecord.objects.filter(token=token).first())
    assert (record.usage_source, record.input_tokens, record.output_tokens) == ("estimated", 128_000, 1000)
    assert spent_usd(live, plain) == Decimal(record.cost_microusd) / 1_000_000

    path = f"/threads/thread_1/runs/{begun['id']}"
    if way == "GET":
        finished = ask(live, plain, "GET", path)
    else:
        finished = ask(live, plain, "POST", f"{path}/{way}", json={})
    ask(live, plain, "GET", path)
    eventually(lambda: UsageRecord.objects.filter(token=token).count() == 3)
    record.refresh_from_db()
    usage = finished["usage"]
    assert (record.usage_source, record.cost_source) == ("upstream", "price")
    assert (record.input_tokens, record.output_tokens) == (
        usage["prompt_tokens"],
        usage["completion_tokens"],
    )
    assert DailySpend.objects.get(subject_id=token.id).cost_microusd == record.cost_microusd < 1000
    eventually(lambda: spent_usd(live, plain) == Decimal(record.cost_microusd) / 1_000_000)


def test_a_run_that_is_streamed_is_charged_once(live: LiveProxy) -> None:
    token, plain = issue_token(total_budget_microusd=1_000_000)
    answer = httpx.post(
        f"{live.base_url}/threads/runs",
        headers={"authorization": f"Bearer {plain}"},
        json={**RUN, "stream": True},
        timeout=20,
    )
    assert answer.text.endswith("data: [DONE]\n\n")
    record = record_of(token, "POST")
    assert (record.usage_source, record.is_stream) == ("upstream", True)
    charged = record.cost_microusd
    run_id = (
        next(line for line in answer.text.splitlines() if '"id"' in line).split('"id":"')[1].split('"')[0]
    )
    ask(live, plain, "GET", f"/threads/thread_1/runs/{run_id}")
    record_of(token, "GET")

    assert DailySpend.objects.get(subject_id=token.id).cost_microusd == charged
    assert record_of(token, "POST").cost_microusd == charged


def test_a_response_that_is_not_in_the_background_is_charged_when_it_is_made(live: LiveProxy) -> None:
    token, plain = issue_token()
    ask(live, plain, "POST", "/responses", json={**RESPONSE, "background": False})
    record = record_of(token, "POST")

    assert (record.usage_source, record.cost_source) == ("upstream", "price")


def _project_of(live: LiveProxy) -> Any:
    """A project whose requests go to this server's upstream, whoever passes them."""
    return ProjectFactory.create(base_url=live.upstream_url)
