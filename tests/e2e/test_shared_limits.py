"""Limits and budgets over two processes with Redis, and over a process that is killed."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from asgiref.sync import sync_to_async

from tests.factories import ProjectFactory, issue_token
from tests.live import WORKERS, LiveProxy, eventually, proxy_before, serving, serving_many
from tokens.models import AccessToken
from usage.models import DailySpend, UsageRecord

pytestmark = pytest.mark.xdist_group("shared_limits")  # one process of tests, one server

DOLLAR = 1_000_000
WORDS = 3000
CHAT = {
    "model": "gpt-4o",
    "max_tokens": WORDS,
    "messages": [{"role": "user", "content": "Hi"}],
}
COST = WORDS * 10 + 3
"""Of one such request, when upstream says all that it may: in micro-USD."""
WORST_CASE = COST + 500
"""The same, with as many model tokens of input as the body has bytes."""
LEASE_SECONDS = 3


@pytest.fixture(scope="module")
def _pair(request: pytest.FixtureRequest, redis_url: str, django_db_setup: None) -> Iterator[list[LiveProxy]]:
    if WORKERS != "1":
        yield [request.getfixturevalue("_live")] * 2
        return
    folder = request.getfixturevalue("tmp_path_factory").mktemp("pair")
    with serving_many(2, folder, REDIS_URL=redis_url) as proxies:
        yield proxies


@pytest.fixture
def pair(_pair: list[LiveProxy], transactional_db: None) -> list[LiveProxy]:
    """Two proxies before one upstream, on one database and one Redis; or twice the one, with its workers."""
    return _pair


@pytest.fixture
def doomed(pair: list[LiveProxy], redis_url: str, tmp_path: Path) -> Iterator[LiveProxy]:
    """One more before the same upstream, of one process, to be killed."""
    own = {"WORKERS": "1", "REDIS_URL": redis_url, "LIMITS_LEASE_SECONDS": str(LEASE_SECONDS)}
    with proxy_before(pair[0].upstream_url, tmp_path / "doomed.log", **own) as proxy:
        yield proxy


async def spend(proxies: list[LiveProxy], plain: str, *, clients: int, rounds: int) -> Counter[int]:
    """So many clients at a time, each one request after another. The statuses."""
    statuses: Counter[int] = Counter()

    async def client(live: LiveProxy) -> None:
        # With a connection of its own: a shared pool under load closes some that it has just given to a
        # request (https://github.com/encode/httpcore/issues/1110).
        async with httpx.AsyncClient(timeout=120, verify=no_tls) as http:
            for _ in range(rounds):
                statuses[(await post(http, live, plain)).status_code] += 1

    no_tls = httpx.create_ssl_context(verify=False)
    await asyncio.gather(*(client(proxies[number % len(proxies)]) for number in range(clients)))
    return statuses


async def post(http: httpx.AsyncClient, live: LiveProxy, plain: str, **headers: str) -> httpx.Response:
    return await http.post(
        f"{live.base_url}/chat/completions",
        json=CHAT,
        headers={"authorization": f"Bearer {plain}", "x-fake-chunks": str(WORDS), **headers},
    )


@pytest.mark.redis
async def test_200_clients_cannot_spend_more_than_the_budget(pair: list[LiveProxy]) -> None:
    project = await sync_to_async(ProjectFactory.create)(total_budget_microusd=DOLLAR)
    _, plain = await sync_to_async(issue_token)(project=project)
    statuses = await spend(pair, plain, clients=200, rounds=3)
    assert set(statuses) == {200, 429}

    # Nothing is reserved any more: what still fits is admitted, and no more.
    statuses += await spend(pair, plain, clients=1, rounds=40)
    spent = await sync_to_async(eventually)(lambda: _written(project.id, requests=statuses[200]))
    assert DOLLAR - WORST_CASE < spent <= DOLLAR
    async with httpx.AsyncClient() as http:
        standing = (
            await http.get(f"{pair[0].url}/token", headers={"authorization": f"Bearer {plain}"})
        ).json()
    assert standing["budgets"][0]["spent_usd"] == f"{spent / DOLLAR:.6f}".rstrip("0")
    assert standing["budgets"][0]["reserved_usd"] == "0.00"


@pytest.mark.redis
async def test_requests_are_capped_exactly_over_two_processes(pair: list[LiveProxy]) -> None:
    _, plain = await sync_to_async(issue_token)(max_requests=50)
    assert await spend(pair, plain, clients=40, rounds=3) == {200: 50, 429: 70}


@pytest.mark.redis
async def test_ghosts_of_a_killed_process_go_with_their_leases(
    pair: list[LiveProxy], doomed: LiveProxy
) -> None:
    other = pair[0]
    _, plain = await sync_to_async(issue_token)(max_concurrent_requests=10)
    async with httpx.AsyncClient(timeout=60) as http:
        running = [
            asyncio.create_task(post(http, doomed, plain, **{"x-fake-delay-ms": "60000"})) for _ in range(10)
        ]
        await sync_to_async(eventually)(lambda: other.upstream_stats()["running"] >= 10)
        assert (await post(http, other, plain)).status_code == 429
        doomed.kill()
        await asyncio.gather(*running, return_exceptions=True)
        await sync_to_async(eventually)(lambda: _get(other, plain) == 200, within_seconds=LEASE_SECONDS + 5)


async def test_a_killed_process_leaves_no_ghost_and_the_counters_equal_the_ledger(
    django_db_setup: None, transactional_db: None, tmp_path: Path
) -> None:
    token, plain = await sync_to_async(issue_token)(
        max_requests=200, max_concurrent_requests=50, total_budget_microusd=100 * DOLLAR
    )
    with serving(tmp_path, REDIS_URL="") as first:  # in Redis they go with their leases, as above
        statuses = await spend([first], plain, clients=10, rounds=3)
        assert statuses == {200: 30}
        await sync_to_async(eventually)(lambda: _rows(token) == 30)
        async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=60)) as http:
            running = [
                asyncio.create_task(post(http, first, plain, **{"x-fake-delay-ms": "60000"}))
                for _ in range(50)
            ]
            await sync_to_async(eventually)(lambda: first.upstream_stats()["running"] >= 50)
            first.kill()
            await asyncio.gather(*running, return_exceptions=True)
        with proxy_before(first.upstream_url, tmp_path / "again.log", REDIS_URL="") as second:
            standing = await _standing(second, plain)
            assert {limit["name"]: limit["used"] for limit in standing["limits"]} == {
                "requests": 30,
                "concurrent_requests": 0,
            }
            assert standing["budgets"][0]["reserved_usd"] == "0.00"
            assert (await spend([second], plain, clients=50, rounds=4))[200] == 170
    assert await sync_to_async(eventually)(lambda: _rows(token) == 200)
    await token.arefresh_from_db()
    days = [day async for day in DailySpend.objects.filter(subject_id=token.id)]
    cost = sum([record.cost_microusd or 0 async for record in UsageRecord.objects.filter(token=token)])
    assert token.request_count == sum(day.requests for day in days) == 200
    assert sum(day.cost_microusd for day in days) == cost


async def _standing(live: LiveProxy, plain: str) -> dict[str, Any]:
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"{live.url}/token", headers={"authorization": f"Bearer {plain}"})
    standing: dict[str, Any] = answer.json()
    return standing


def _get(live: LiveProxy, plain: str) -> int:
    return httpx.get(f"{live.base_url}/models", headers={"authorization": f"Bearer {plain}"}).status_code


def _rows(token: AccessToken) -> int:
    return UsageRecord.objects.filter(token=token, is_admitted=True).count()


def _written(project_id: UUID, *, requests: int) -> int | None:
    """What the ledger says the project has spent, when so many requests are in it."""
    days = list(DailySpend.objects.filter(subject_id=project_id))
    if sum(day.requests for day in days) < requests:
        return None
    return sum(day.cost_microusd for day in days)
