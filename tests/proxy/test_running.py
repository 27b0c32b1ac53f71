"""The look at running requests: what becomes of them when their tokens, budgets or stores go away."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from uuid import UUID

import pytest
from structlog.testing import capture_logs
from uuid_utils.compat import uuid7

from projects.models import DeathPolicy
from proxy import running as running_module
from proxy.bill import Bill
from proxy.client import Client
from proxy.endpoints import Endpoint
from proxy.errors import ProxyError
from proxy.exchange import Exchange
from proxy.facts import NO_FACTS
from proxy.running import RunningRequests
from proxy.types import Message
from tests.grants import make_grant
from tokens.directory import Changes, Directory, DirectoryUnavailableError
from tokens.grant import Grant
from tokens.limits.memory import MemoryStore
from tokens.limits.values import NOTHING, Lease, Limits, LimitsUnavailableError, Subject, Tally
from usage.entry import UsageEntry
from usage.price_book import PriceBook

ENDPOINT = Endpoint(path="/chat/completions", methods=("POST",), usage="openai")
PRICES = PriceBook()


class Cuttable(Client):
    """Notes what it is cut with."""

    def __init__(self) -> None:
        super().__init__(_never, _ignore, max_body_bytes=0)
        self.cut_with: ProxyError | None = None

    def cut(self, error: ProxyError) -> None:
        self.cut_with = error


async def _never() -> Message:
    await asyncio.sleep(3600)
    raise AssertionError


async def _ignore(message: Message) -> None:
    pass


class World:
    """A directory and a store that can be away, and what is asked of them."""

    def __init__(self) -> None:
        self.grant: Grant | None = None
        self.is_away = False
        self.kept_alive: list[set[UUID]] = []
        self.limits = MemoryStore(self._no_tally, max_accounts=10)
        self.directory = Directory(self._load, max_tokens=10, ttl_seconds=60)
        self.running = RunningRequests(self.directory, self.limits, self._keep_alive)

    async def begin(self, grant: Grant) -> tuple[Exchange, Cuttable]:
        client = Cuttable()
        entry = UsageEntry(id=uuid7(), started_at=0, method="POST", path="/v1/chat/completions")
        lease = await self.limits.acquire(entry.id, grant.subjects, NOTHING)
        bill = Bill(grant, ENDPOINT, "POST", NO_FACTS, 0, PRICES)
        exchange = Exchange(grant, lease, bill, client, entry, self.limits)
        self.running.add(exchange)
        return exchange, client

    def change(self, grant: Grant | None, before: Grant) -> None:
        """As the poller would tell it."""
        self.grant = grant
        changes = Changes(token_ids=frozenset([before.token_id]))
        self.directory.apply(changes)
        self.running.apply(changes)

    async def _load(self, digest: str) -> Grant | None:
        if self.is_away:
            raise DirectoryUnavailableError
        return self.grant

    async def _no_tally(self, subject: Subject, at_ms: int) -> Tally:
        return Tally()

    async def _keep_alive(self, token_ids: set[UUID]) -> None:
        self.kept_alive.append(token_ids)


@pytest.fixture
async def world() -> World:
    return World()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda grant: replace(grant, token_revoked=True), "invalid_api_key"),
        (lambda grant: replace(grant, project_active=False), "project_inactive"),
        (lambda grant: None, "invalid_api_key"),
    ],
)
async def test_request_of_a_token_that_dies_is_cut(
    world: World, change: Callable[[Grant], Grant | None], code: str
) -> None:
    grant = make_grant()
    _, client = await world.begin(grant)
    _, other = await world.begin(make_grant(digest="1" * 64))
    world.change(change(grant), grant)
    await settled()
    assert client.cut_with is not None
    assert client.cut_with.code == code
    assert other.cut_with is None


async def test_request_is_let_finish_where_the_project_says_so(world: World) -> None:
    grant = make_grant(death_policy=DeathPolicy.FINISH)
    _, client = await world.begin(grant)
    world.change(replace(grant, token_revoked=True), grant)
    await settled()
    assert client.cut_with is None


async def test_what_of_a_deleted_token_may_finish_is_cut_once_it_is_idle(world: World) -> None:
    grant = make_grant(death_policy=DeathPolicy.FINISH)
    exchange, client = await world.begin(grant)
    world.change(None, grant)
    await settled()
    assert client.cut_with is None
    exchange.is_idle = True
    await world.running.cut_the_dead()
    assert client.cut_with is not None
    assert client.cut_with.code == "invalid_api_key"


async def test_change_that_cannot_be_read_now_is_read_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_module, "TICK_SECONDS", 0.01)
    grant = make_grant()
    _, client = await world.begin(grant)
    world.is_away = True
    world.change(replace(grant, token_revoked=True), grant)
    await asyncio.sleep(0.05)
    assert client.cut_with is None  # nothing is known of it: the last word holds
    world.is_away = False
    await until(lambda: client.cut_with)


async def test_change_during_the_way_to_the_start_is_felt(world: World) -> None:
    """As when a token is revoked while the request waits for its limits."""
    grant = make_grant()
    exchange, client = await world.begin(grant)
    world.grant = replace(grant, token_revoked=True)
    world.running.doubt(exchange)
    await settled()
    assert client.cut_with is not None


async def test_token_that_expires_is_cut_without_any_news(world: World) -> None:
    _, client = await world.begin(make_grant(expires_at=1.0))
    await world.running.cut_the_dead()
    assert client.cut_with is not None
    assert client.cut_with.code == "token_expired"


async def test_slow_database_holds_up_no_cut(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_module, "TICK_SECONDS", 0.01)
    monkeypatch.setattr(running_module, "KEEP_ALIVE_SECONDS", 0)
    _, client = await world.begin(make_grant(expires_at=time.time() + 0.1, idle_expires_at=1.0))

    async def never(token_ids: set[UUID]) -> None:
        await asyncio.sleep(3600)

    monkeypatch.setattr(world.running, "_keep_alive", never)
    world.running.start()
    await until(lambda: client.cut_with)
    await world.running.stop()


async def test_a_watch_that_misses_its_cancellation_is_ended_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_module, "KEEP_ALIVE_SECONDS", 0)
    await world.begin(make_grant(idle_expires_at=time.time() + 60))
    waits = []

    async def deaf(token_ids: set[UUID]) -> None:
        waits.append(True)
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600 if len(waits) == 1 else 0)

    monkeypatch.setattr(world.running, "_keep_alive", deaf)
    world.running.start()
    await until(lambda: waits)
    async with asyncio.timeout(10):
        await world.running.stop()


async def test_running_request_is_no_idle_one(world: World) -> None:
    grant = make_grant(idle_expires_at=1.0)
    _, client = await world.begin(grant)
    await world.begin(make_grant())
    await world.running.keep_tokens_alive()
    await world.running.cut_the_dead()
    assert client.cut_with is None
    assert world.kept_alive == [{grant.token_id}]


async def test_lowered_budget_holds_for_what_runs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_module, "TICK_SECONDS", -1)  # requests are looked at from their beginning
    grant = make_grant(token_limits=Limits(budgets=(100, None, None, None)))
    exchange, client = await world.begin(grant)
    await world.running.watch_limits()
    assert client.cut_with is None
    lowered = replace(
        grant, subjects=(replace(grant.subjects[0], limits=Limits(budgets=(0, None, None, None))),)
    )
    world.change(lowered, grant)
    await settled()
    await world.running.watch_limits()
    assert client.cut_with is not None
    assert client.cut_with.code == "budget_exceeded"
    assert exchange.lease.subjects == lowered.subjects


async def test_leases_are_renewed_whatever_the_stores_clock_says(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is Redis's, and may be ahead of ours by more than a lease lives."""
    monkeypatch.setattr(running_module, "TICK_SECONDS", -1)
    exchange, _ = await world.begin(make_grant(token_limits=Limits(max_requests=5)))
    exchange.lease.at_ms += 60_000
    renewed: list[Lease] = []

    async def renew(leases: list[Lease]) -> list[Lease]:
        renewed.extend(leases)
        return []

    monkeypatch.setattr(world.limits, "renew", renew)
    await world.running.watch_limits()
    assert renewed == [exchange.lease]


async def test_store_that_is_away_cuts_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> list[object]:
        raise LimitsUnavailableError

    monkeypatch.setattr(world.limits, "renew", away)
    monkeypatch.setattr(running_module, "TICK_SECONDS", -1)
    _, client = await world.begin(make_grant(token_limits=Limits(max_requests=5)))
    await world.running.watch_limits()
    assert client.cut_with is None


async def test_leases_that_nobody_renews_are_swept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    swept: list[bool] = []
    monkeypatch.setattr(world.limits, "sweep", lambda: _note(swept))
    await world.running.watch_limits()
    assert swept == [True]


async def test_a_look_that_fails_is_logged_and_followed_by_another(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_module, "TICK_SECONDS", 0.01)
    _, client = await world.begin(make_grant(expires_at=1.0))
    failing, check = [RuntimeError("once")], world.running._check

    def check_again(exchange: Exchange) -> None:
        if failing:
            raise failing.pop()
        check(exchange)

    monkeypatch.setattr(world.running, "_check", check_again)
    with capture_logs() as logs:
        world.running.start()
        await until(lambda: client.cut_with)
        await world.running.stop()
    assert [line["event"] for line in logs] == ["running requests could not be watched"]


async def _note(noted: list[bool]) -> int:
    noted.append(True)
    return 0


async def settled() -> None:
    """Until all that has begun has been done."""
    for _ in range(20):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)
