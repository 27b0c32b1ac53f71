"""/metrics of a server of two workers: the sums are the ledger's, whoever is asked and whoever dies."""

import asyncio
import json
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db.models import Count, Sum

from proxy.configuration import configured_providers
from tests.databases import table_away
from tests.e2e.load import ALL_WAYS, CHAT, Seen, ask_json, ask_until
from tests.factories import ProjectFactory, issue_token
from tests.live import LiveProxy, eventually, serving
from tests.metrics import READER, TOKEN, counters, scrape, total
from tests.prometheus import Prometheus, dashboard_queries
from tokens.models import AccessToken
from usage.models import BudgetAlert, UsageRecord

pytestmark = pytest.mark.redis

LOAD_SECONDS = 2.0
DASHBOARD = Path(settings.BASE_DIR) / "deploy/grafana/llm-proxy.json"


@pytest.fixture(scope="module")
def _pair(
    redis_url: str, django_db_setup: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveProxy]:
    folder = tmp_path_factory.mktemp("metrics")
    with serving(folder, WORKERS="2", REDIS_URL=redis_url, METRICS_TOKEN=TOKEN) as live:
        yield live


@pytest.fixture
def pair(_pair: LiveProxy, transactional_db: None) -> LiveProxy:
    """One server of two workers, both of which live."""
    eventually(lambda: scrape(_pair)["llm_proxy_workers"][()] == 2, within_seconds=30)
    return _pair


async def test_the_sums_of_all_workers_are_those_of_the_ledger(pair: LiveProxy) -> None:
    before = await asyncio.to_thread(scrape, pair)
    free, limited = await sync_to_async(two_tokens)()
    ends_at = time.monotonic() + LOAD_SECONDS

    def is_over() -> bool:
        return time.monotonic() > ends_at

    seen = Seen()
    await asyncio.gather(
        ask_until(is_over, pair.url, free, seen, ALL_WAYS),
        ask_until(is_over, pair.url, limited, seen, (ask_json,)),
        ask_until(is_over, pair.url, "sk-nobody-knows", Seen(), (ask_json,), each=1),
    )
    await sync_to_async(check_against_the_ledger)(pair, before)


def two_tokens() -> tuple[str, str]:
    """Of two projects; the second may ask five times."""
    return issue_token()[1], issue_token(max_requests=5)[1]


def check_against_the_ledger(pair: LiveProxy, before: dict[str, dict[tuple[str, ...], float]]) -> None:
    eventually(lambda: scrape(pair)["llm_proxy_active_requests"][()] == 0)
    eventually(lambda: scrape(pair)["llm_proxy_ledger_lag_seconds"][()] == 0)
    after = scrape(pair)
    moved = counters(after)
    moved.subtract(counters(before))

    family_of = configured_providers().family_of
    rows = UsageRecord.objects.values_list("endpoint", "method", "outcome", "status").annotate(Count("pk"))
    ledger: Counter[tuple[str, ...]] = Counter()
    for endpoint, method, outcome, status, count in rows:
        ledger[family_of(endpoint) or "none", method, outcome, str(status or "none")] += count
    counted = Counter(
        {
            labels: int(count)
            for (name, labels), count in moved.items()
            if name == "llm_proxy_requests_total" and count
        }
    )
    nobodys = counted.pop(("none", "POST", "refused", "401"))
    assert nobodys == moved["llm_proxy_errors_total", ("invalid_api_key",)] > 0
    assert counted == ledger
    assert ledger["chat", "POST", "completed", "200"] > 20
    assert ledger["realtime", "TURN", "completed", "200"] > 5
    assert moved["llm_proxy_limits_hit_total", ("requests",)] == ledger["chat", "POST", "refused", "429"] > 0

    usage = UsageRecord.objects.filter(is_admitted=True).values_list("project__name")
    for kind in ("input", "output", "cached"):
        of_ledger = {
            (kind, project): tokens for project, tokens in usage.annotate(Sum(f"{kind}_tokens")) if tokens
        }
        of_metrics: Counter[tuple[str, str]] = Counter()
        for (name, labels), count in moved.items():
            if name == "llm_proxy_model_tokens_total" and labels[0] == kind and count:
                of_metrics[kind, labels[2]] += int(count)
        assert of_metrics == of_ledger
    of_ledger = {project: cost for project, cost in usage.annotate(Sum("cost_microusd")) if cost}
    costs: Counter[str] = Counter()
    for (name, labels), usd in moved.items():
        if name == "llm_proxy_cost_usd_total" and usd:
            costs[labels[1]] += round(usd * 1_000_000)
    assert costs == of_ledger

    answered = sum(
        count
        for (_, _, outcome, status), count in ledger.items()
        if outcome not in ("refused", "upstream_failed") and status not in ("none", "101")
    )
    durations = sum(
        count for (name, _), count in moved.items() if name == "llm_proxy_request_duration_seconds_count"
    )
    assert durations == answered


def test_no_count_is_lost_with_a_worker_that_is_killed_or_replaced(pair: LiveProxy) -> None:
    plain = issue_token()[1]
    seen = [ask_some(pair, plain)]
    workers = psutil.Process(pair.process.pid).children()
    workers[0].kill()
    eventually(lambda: has_lost(pair, workers[0]), within_seconds=30)
    seen.append(ask_some(pair, plain))
    young = psutil.Process(pair.process.pid).children()
    pair.process.send_signal(signal.SIGHUP)
    eventually(lambda: not any(worker.is_running() for worker in young), within_seconds=60)
    seen.append(ask_some(pair, plain))

    for earlier, later in pairwise(seen):
        assert not counters(earlier) - counters(later), "it went backwards"
    requests = [total(samples, "llm_proxy_requests_total") for samples in seen]
    assert requests[2] - requests[0] == 40
    assert seen[2]["llm_proxy_workers_expected"][()] == 2
    # A worker that has just said that it is ready may not have told how it is.
    eventually(lambda: scrape(pair)["llm_proxy_workers"][()] == 2)
    eventually(lambda: set(scrape(pair)["llm_proxy_worker_open_files"]) == {("1",), ("2",)})


def ask_some(pair: LiveProxy, plain: str) -> dict[str, dict[tuple[str, ...], float]]:
    for _ in range(20):
        answer = httpx.post(
            f"{pair.base_url}/chat/completions", json=CHAT, headers={"authorization": f"Bearer {plain}"}
        )
        assert answer.status_code == 200
    return scrape(pair)


def has_lost(pair: LiveProxy, worker: psutil.Process) -> bool:
    """And has another in its place."""
    with suppress(httpx.HTTPError):  # the worker dies while it answers
        return not worker.is_running() and scrape(pair)["llm_proxy_workers"][()] == 2
    return False


def test_what_clients_make_up_makes_no_series(pair: LiveProxy) -> None:
    plain = issue_token()[1]
    ask_for_what_is_not(pair, plain, 1)
    before = scrape(pair)
    ask_for_what_is_not(pair, plain, 60)
    after = scrape(pair)

    for samples in (before, after):  # of upstream keys, which clients do not make up: told within 2 s
        samples.pop("llm_proxy_breaker_state", None)
    assert {name: set(of_name) for name, of_name in after.items()} == {
        name: set(of_name) for name, of_name in before.items()
    }
    moved = counters(after)
    moved.subtract(counters(before))
    assert sum(count for (name, _), count in moved.items() if name == "llm_proxy_requests_total") == 300
    text = httpx.get(f"{pair.url}/metrics", headers=READER).text
    assert "made-up" not in text
    assert plain not in text


def ask_for_what_is_not(pair: LiveProxy, plain: str, times: int) -> None:
    with httpx.Client(base_url=pair.base_url, headers={"authorization": f"Bearer {plain}"}) as client:
        for _ in range(times):
            made_up = f"made-up-{uuid4()}"
            client.post("/chat/completions", json={**CHAT, "model": made_up})
            client.post("/chat/completions", json={**CHAT, "model": f"gpt-4o-{made_up}"})
            client.get(f"/{made_up}")
            client.get(f"/files/{made_up}")
            client.request(f"X{made_up.upper()}", "/models", headers={"user-agent": made_up})


def test_what_runs_on_any_worker_is_told(pair: LiveProxy) -> None:
    slow = {
        "authorization": f"Bearer {issue_token()[1]}",
        "x-fake-chunks": "600",
        "x-fake-chunk-delay-ms": "100",
    }
    with ExitStack() as stack:
        for body in (*[{**CHAT, "stream": True}] * 4, CHAT):
            client = stack.enter_context(httpx.Client(base_url=pair.base_url, headers=slow))
            stack.enter_context(client.stream("POST", "/chat/completions", json=body))
        eventually(lambda: running(pair) == (5, 4), within_seconds=20)
    eventually(lambda: running(pair) == (0, 0), within_seconds=20)


def running(pair: LiveProxy) -> tuple[float, float]:
    samples = scrape(pair)
    return samples["llm_proxy_active_requests"][()], samples["llm_proxy_active_streams"][()]


def test_breakers_and_limits_are_told(pair: LiveProxy) -> None:
    """By key and upstream, never with the key itself."""
    project = ProjectFactory(upstream_key__plain="sk-upstream-that-always-fails")
    pair.fault_key("sk-upstream-that-always-fails", status="500")
    plain = issue_token(project=project)[1]
    key = str(project.upstream_keys.get().pk)
    with httpx.Client(base_url=pair.base_url, headers={"authorization": f"Bearer {plain}"}) as client:

        def is_open() -> bool:
            client.post("/chat/completions", json=CHAT)
            return scrape(pair).get("llm_proxy_breaker_state", {}).get((pair.upstream_url, key)) == 2

        eventually(is_open, within_seconds=20)
    text = httpx.get(f"{pair.url}/metrics", headers=READER).text
    assert "sk-upstream" not in text
    assert AccessToken.objects.get(project=project).digest not in text


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Bearer wrong"}, {"authorization": TOKEN}, {"authorization": "Bearer"}],
)
def test_without_the_token_there_is_no_such_page(pair: LiveProxy, headers: dict[str, str]) -> None:
    asked = pair.upstream_stats()
    answer = httpx.get(f"{pair.url}/metrics", headers=headers)
    nowhere = httpx.get(f"{pair.url}/nowhere", headers=headers)

    assert answer.status_code == nowhere.status_code == 404
    assert answer.content.replace(b"metrics", b"nowhere") == nowhere.content
    assert httpx.post(f"{pair.url}/metrics", headers=READER).status_code in (403, 404)
    assert pair.upstream_stats() == asked


def test_a_real_prometheus_sees_what_the_ledger_has(pair: LiveProxy, prometheus: Prometheus) -> None:
    plain = issue_token()[1]
    ask_for_what_is_not(pair, plain, 1)
    asked = ask_some(pair, plain)
    expected = total(asked, "llm_proxy_requests_total")
    prometheus.start(pair.url, TOKEN)

    eventually(lambda: prometheus.query("sum(llm_proxy_requests_total)") == expected, within_seconds=30)
    assert prometheus.query("llm_proxy_workers") == 2
    eventually(lambda: prometheus.query("count_over_time(up[1m])") > 2, within_seconds=30)
    ask_some(pair, plain)
    eventually(lambda: prometheus.query("sum(increase(llm_proxy_requests_total[10s]))") > 0)
    silent = {query for query in dashboard_queries(DASHBOARD) if prometheus.query(query) is None}
    assert silent <= {'llm_proxy_breaker_state{instance=~".*"} > 0'}


def test_promtool_accepts_what_is_said(pair: LiveProxy, prometheus: Prometheus) -> None:
    ask_for_what_is_not(pair, issue_token()[1], 1)
    prometheus.check("metrics", text=httpx.get(f"{pair.url}/metrics", headers=READER).text)


def test_without_the_database_the_numbers_are_told_all_the_same(pair: LiveProxy) -> None:
    asked = ask_some(pair, issue_token()[1])
    with table_away(BudgetAlert):
        eventually(lambda: "metrics go without what the database says" in (scrape(pair) and pair.log()))
        during = scrape(pair)
    assert during["llm_proxy_requests_total"] == asked["llm_proxy_requests_total"]


def test_its_start_is_told_once_for_all_workers(pair: LiveProxy) -> None:
    lines = [json.loads(line) for line in pair.log().splitlines() if line.startswith("{")]
    (start,) = [line for line in lines if line["event"] == "starting"]
    assert start["workers"] == 2
    assert start["metrics"] == "on, for a token"
    assert start["limits"].startswith("in Redis")
    assert TOKEN not in pair.log()


def test_a_head_has_no_body(pair: LiveProxy) -> None:
    answer = httpx.head(f"{pair.url}/metrics", headers=READER)

    assert answer.status_code == 200
    assert answer.content == b""
    assert int(answer.headers["content-length"]) > 1000


def test_what_a_worker_loses_at_its_end_is_told_by_the_next(
    redis_url: str, django_db_setup: None, transactional_db: None, tmp_path: Path
) -> None:
    """Neither the spool takes it, nor the database."""
    plain = issue_token()[1]
    with (
        serving(tmp_path, WORKERS="2", REDIS_URL=redis_url, METRICS_TOKEN=TOKEN) as live,
        table_away(UsageRecord),
    ):
        shutil.rmtree(tmp_path / "spool", ignore_errors=True)
        (tmp_path / "spool").touch()
        ask_some(live, plain)
        eventually(lambda: scrape(live)["llm_proxy_ledger_memory_records"][()] == 20)
        (tmp_path / "spool").unlink()  # else no new worker would start
        old = psutil.Process(live.process.pid).children()
        live.process.send_signal(signal.SIGHUP)
        eventually(lambda: not any(worker.is_running() for worker in old), within_seconds=60)
        after = scrape(live)
    assert after["llm_proxy_ledger_memory_records"][()] == 0
    assert after["llm_proxy_ledger_lost_records_total"][()] == 20
