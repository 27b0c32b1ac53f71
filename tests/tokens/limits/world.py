"""What the tests of the stores share: a clock that stands still, a ledger, short words for subjects."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import redis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tokens.limits.memory import MemoryStore
from tokens.limits.periods import periods_at
from tokens.limits.redis import RedisStore
from tokens.limits.values import (
    MINUTE_MS,
    NOTHING,
    Charge,
    Counters,
    Estimate,
    Kind,
    Lease,
    LimitReachedError,
    Limits,
    LimitStore,
    Subject,
    Tally,
)

LEASE_MS = 15_000
FREE = Charge()
LAG_MS = 2_000
"""After which the ledger is taken to have a settled request."""


def token(id: UUID | None = None, **limits: object) -> Subject:  # noqa: A002
    return Subject(Kind.TOKEN, id or uuid4(), Limits(**limits))


def project(id: UUID | None = None, **limits: object) -> Subject:  # noqa: A002
    return Subject(Kind.PROJECT, id or uuid4(), Limits(**limits))


def all_of(microusd: int) -> tuple[int, int, int, int]:
    """The same in each window."""
    return microusd, microusd, microusd, microusd


class Clock:
    """Gives seconds, and is set in milliseconds."""

    def __init__(self, start: str = "2026-03-11 12:00") -> None:
        self.ms = _ms(start)

    def __call__(self) -> float:
        return (self.ms + 0.5) / 1000  # in the middle, so that no rounding makes another millisecond of it

    def advance(self, milliseconds: int) -> None:
        self.ms += milliseconds

    def advance_to(self, instant: str) -> None:
        self.ms = _ms(instant)


def _ms(instant: str) -> int:
    return round(datetime.fromisoformat(instant).replace(tzinfo=UTC).timestamp() * 1000)


@dataclass
class Ledger:
    """Rows of requests that have ended."""

    clock: Clock
    rows: list[tuple[frozenset[UUID], int, Charge]] = field(default_factory=list)
    reads: list[UUID] = field(default_factory=list)

    def write(self, lease: Lease, charge: Charge = FREE) -> None:
        self.rows.append((frozenset(subject.id for subject in lease.subjects), lease.at_ms, charge))

    def add(self, subject: Subject, instant: str, charge: Charge = FREE) -> None:
        self.rows.append((frozenset([subject.id]), _ms(instant), charge))

    async def load_tally(self, subject: Subject, at_ms: int) -> Tally:
        self.reads.append(subject.id)
        mine = [(began_ms, charge) for ids, began_ms, charge in self.rows if subject.id in ids]
        now = periods_at(at_ms)
        return Tally(
            requests=len(mine),
            recent=tuple(
                sorted(
                    (began_ms, charge.model_tokens)
                    for began_ms, charge in mine
                    if began_ms > at_ms - MINUTE_MS
                )
            ),
            spent=tuple(
                sum(charge.microusd for began_ms, charge in mine if periods_at(began_ms)[i] == now[i])
                for i in range(4)
            ),
        )


@dataclass
class World:
    """A store with its clock and its ledger."""

    store: LimitStore
    clock: Clock
    ledger: Ledger

    @property
    def shared(self) -> RedisStore:
        """The store, for what only Redis's has."""
        assert isinstance(self.store, RedisStore)
        return self.store

    async def acquire(self, *subjects: Subject, model_tokens: int = 0, microusd: int = 0) -> Lease:
        return await self.store.acquire(uuid4(), subjects, Estimate(model_tokens, microusd))

    async def settle(self, lease: Lease, model_tokens: int = 0, microusd: int = 0) -> None:
        """And write its row."""
        charge = Charge(model_tokens, microusd)
        await self.store.settle(lease, charge)
        self.ledger.write(lease, charge)

    async def refused(self, *subjects: Subject, estimate: Estimate = NOTHING) -> LimitReachedError:
        """The refusal of a request, which must be refused."""
        try:
            await self.store.acquire(uuid4(), subjects, estimate)
        except LimitReachedError as reached:
            return reached
        raise AssertionError("the request was admitted")

    async def admitted(self, *subjects: Subject, requests: int, estimate: Estimate = NOTHING) -> int:
        """How many of so many requests are let through."""
        passed = 0
        for _ in range(requests):
            try:
                await self.store.acquire(uuid4(), subjects, estimate)
            except LimitReachedError:
                continue
            passed += 1
        return passed

    async def counters(self, subject: Subject) -> Counters:
        return (await self.store.standing((subject,)))[0]


def memory_world(ledger: Ledger | None = None, *, max_accounts: int = 100) -> World:
    ledger = ledger or Ledger(Clock())
    store = MemoryStore(
        ledger.load_tally, max_accounts=max_accounts, lease_seconds=LEASE_MS / 1000, clock=ledger.clock
    )
    return World(store, ledger.clock, ledger)


@asynccontextmanager
async def redis_world(url: str, prefix: str) -> AsyncIterator[World]:
    clock = Clock()
    ledger = Ledger(clock)
    store = redis_store(url, prefix, ledger)
    yield World(store, clock, ledger)
    await store.aclose()


def redis_store(url: str, prefix: str, ledger: Ledger, client: Redis | None = None) -> RedisStore:
    return RedisStore(
        client or connect(url),
        ledger.load_tally,
        prefix=prefix,
        lease_seconds=LEASE_MS / 1000,
        ledger_lag_seconds=LAG_MS / 1000,
        clock=ledger.clock,
    )


def connect(url: str, *, timeout_seconds: float = 10) -> Redis:
    return Redis.from_url(url, **options(timeout_seconds))


def options(timeout_seconds: float = 10) -> dict[str, Any]:
    """Of a client as a store wants it."""
    return {
        "max_connections": 16,
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "retry": Retry(NoBackoff(), 0),
    }


@contextmanager
def own_prefix(url: str) -> Iterator[str]:
    """For the names of a test's keys; they are deleted after it."""
    prefix = f"test-{uuid4().hex}"
    yield prefix
    flush(url, prefix)


def flush(url: str, prefix: str) -> None:
    """As if Redis had been flushed; keys of others stay."""
    with redis.Redis.from_url(url) as client:
        keys = keys_of(client, prefix)
        if keys:
            client.delete(*keys)


def keys_of(client: redis.Redis, prefix: str) -> list[bytes]:
    return list(client.scan_iter(f"{{{prefix}}}*", count=1000))
