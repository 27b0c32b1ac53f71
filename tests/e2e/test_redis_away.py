"""Redis is flushed, killed and started again under load: nothing is missing from the ledger."""

import asyncio
from pathlib import Path

import pytest
import redis

from tests.e2e.load import Seen, ask_for_nothing, ask_json, ask_stream, ask_until
from tests.factories import issue_token
from tests.ledgers import assert_sums_are_those_of_the_rows, missing
from tests.live import LiveProxy, eventually, serving
from tests.tokens.limits.test_outages import Server, server
from usage.models import UsageRecord

__all__ = ["server"]

pytestmark = pytest.mark.redis


def test_nothing_is_lost_with_redis(
    server: Server,
    django_db_setup: None,
    transactional_db: None,
    tmp_path: Path,
) -> None:
    token, plain = issue_token(max_requests=10**6, total_budget_microusd=10**12)
    seen = Seen()
    with serving(tmp_path, REDIS_URL=server.url, LIMITS_WITHOUT_REDIS="local") as live:
        asyncio.run(_load_while_redis_comes_and_goes(live, server, plain, seen))
        eventually(lambda: missing(seen.ids) == set(), within_seconds=30)

    assert seen.broken == 0
    assert set(seen.statuses) == {200, 404}
    assert UsageRecord.objects.filter(token=token).count() == len(set(seen.ids))
    assert_sums_are_those_of_the_rows()


async def _load_while_redis_comes_and_goes(live: LiveProxy, server: Server, plain: str, seen: Seen) -> None:
    is_over = asyncio.Event()
    ways = (ask_json, ask_stream, ask_for_nothing)
    clients = asyncio.create_task(ask_until(is_over.is_set, live.url, plain, seen, ways, each=1))
    await _hear_more(seen)
    with redis.Redis.from_url(server.url) as client:
        await asyncio.to_thread(client.flushall)
    await _hear_more(seen)
    server.kill()
    await _hear_more(seen)
    await asyncio.to_thread(server.start)
    await asyncio.sleep(1.5)  # the process looks once a second
    await _hear_more(seen)
    is_over.set()
    await clients


async def _hear_more(seen: Seen) -> None:
    before = len(seen.ids)
    async with asyncio.timeout(60):
        while len(seen.ids) < before + 20:
            await asyncio.sleep(0.02)
