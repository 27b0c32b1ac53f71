"""Before a process stops, Redis learns what the process's ledger has corrected."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from structlog.testing import CapturingLogger

from tests.tokens.limits.world import World, all_of, connect, project
from tokens.limits import redis as redis_module
from tokens.limits.redis import RedisStore
from tokens.limits.values import NOTHING, Charge, Estimate, LimitsUnavailableError, Subject, Tally

pytestmark = pytest.mark.redis

LAG_SECONDS = 0.25


async def says_seven(subject: Subject, at_ms: int) -> Tally:
    return Tally(0, (), all_of(7))


def a_store(url: str, prefix: str) -> RedisStore:
    return RedisStore(connect(url), says_seven, prefix=prefix, ledger_lag_seconds=LAG_SECONDS)


@asynccontextmanager
async def kept_busy(store: RedisStore, subject: Subject) -> AsyncIterator[None]:
    """Its requests end all the time."""

    is_over = asyncio.Event()

    async def ask() -> None:
        while not is_over.is_set():
            await store.settle(await store.acquire(uuid4(), (subject,), NOTHING), Charge())
            await asyncio.sleep(LAG_SECONDS / 10)

    task = asyncio.create_task(ask())
    try:
        yield
    finally:
        is_over.set()  # a cancellation could be lost with an answer of Redis
        await task


async def test_a_subject_that_another_process_serves_is_corrected_before_the_end(
    redis_url: str, prefix: str
) -> None:
    stopping, other = a_store(redis_url, prefix), a_store(redis_url, prefix)
    shared = project(budgets=(1_000_000, None, None, None))
    lease = await stopping.acquire(uuid4(), (shared,), Estimate(1, 900_000))
    await stopping.settle(lease, Charge(1, 900_000))
    async with kept_busy(other, shared):
        stopping.corrected((shared,), 0, -899_993)
        began = time.monotonic()
        await stopping.flush()
        assert time.monotonic() - began < 4 * LAG_SECONDS + 5
    (counters,) = await other.standing((shared,))
    await stopping.aclose()
    await other.aclose()

    assert counters.spent == all_of(7)


async def test_what_redis_could_not_be_told_is_in_the_log(
    redis: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = CapturingLogger()
    monkeypatch.setattr(redis_module, "log", log)

    async def away(*_: object) -> None:
        raise LimitsUnavailableError

    redis.shared.recount_later([project(), project()])
    monkeypatch.setattr(redis.shared._link, "ask", away)
    redis.clock.advance(60_000)
    await redis.store.flush()

    assert [(line.method_name, line.kwargs) for line in log.calls] == [("error", {"left": 2})]
