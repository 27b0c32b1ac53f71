"""A process that is killed at any instant: all that a client saw end is in the ledger, once.

TEST_KILLS says how often it is killed.
"""

import asyncio
import os
import random
from pathlib import Path
from subprocess import Popen

import psutil
import pytest

from tests.e2e.load import ALL_WAYS, Seen, ask_until
from tests.factories import issue_token
from tests.ledgers import assert_sums_are_those_of_the_rows, missing
from tests.live import LiveProxy, proxy_before, serving
from usage.models import UsageRecord
from usage.outcomes import Outcome

LOAD_SECONDS = 0.3, 1.2
KILLS = int(os.environ.get("TEST_KILLS", "4"))


def test_what_a_client_saw_end_is_in_the_ledger_once_however_often_its_process_is_killed(
    django_db_setup: None, transactional_db: None, tmp_path: Path
) -> None:
    _, plain = issue_token(max_requests=10**6, total_budget_microusd=10**12)
    seen = Seen()
    with serving(tmp_path) as live:
        for number in range(KILLS):
            with proxy_before(live.upstream_url, tmp_path / f"{number}.log") as doomed:
                asyncio.run(_load_until_it_is_killed(doomed.url, doomed.process, plain, seen))
    # The last process is the one that was there all the time.
    with proxy_before(live.upstream_url, tmp_path / "last.log"):
        pass

    assert len(seen.ids) > 10 * KILLS
    assert set(seen.statuses) == {200, 404}
    assert missing(seen.ids) == set()
    for connection, turns in seen.turns.items():
        rows = UsageRecord.objects.filter(method="TURN", upstream_request_id=connection)
        assert rows.filter(outcome=Outcome.COMPLETED).count() >= turns
    assert seen.turns
    assert_sums_are_those_of_the_rows()
    assert list((tmp_path / "spool").iterdir()) == []


@pytest.mark.redis
def test_what_a_client_saw_end_is_in_the_ledger_once_however_often_workers_are_killed(
    django_db_setup: None, transactional_db: None, tmp_path: Path, redis_url: str
) -> None:
    _, plain = issue_token(max_requests=10**6, total_budget_microusd=10**12)
    seen = Seen()
    with serving(tmp_path, WORKERS="2", REDIS_URL=redis_url) as live:
        asyncio.run(_load_while_workers_are_killed(live, plain, seen))
        with proxy_before(live.upstream_url, tmp_path / "last.log", REDIS_URL=redis_url):
            pass

    assert set(seen.statuses) == {200, 404}
    assert missing(seen.ids) == set()
    assert_sums_are_those_of_the_rows()


async def _load_while_workers_are_killed(live: LiveProxy, plain: str, seen: Seen) -> None:
    is_over = False
    clients = asyncio.create_task(ask_until(lambda: is_over, live.url, plain, seen, ALL_WAYS))
    for _ in range(KILLS):
        await _until_more_is_seen(seen)
        workers = psutil.Process(live.process.pid).children()
        random.choice(workers).kill()  # noqa: S311
    await _until_more_is_seen(seen)
    is_over = True
    await clients


async def _until_more_is_seen(seen: Seen) -> None:
    begun = len(seen.ids)
    async with asyncio.timeout(60):
        while len(seen.ids) < begun + 10:  # on a busy machine
            await asyncio.sleep(0.02)
    await asyncio.sleep(random.uniform(*LOAD_SECONDS))  # noqa: S311


async def _load_until_it_is_killed(url: str, process: Popen[str], plain: str, seen: Seen) -> None:
    def is_killed() -> bool:
        return process.returncode is not None

    clients = asyncio.create_task(ask_until(is_killed, url, plain, seen, ALL_WAYS))
    await _until_more_is_seen(seen)
    process.kill()
    await asyncio.to_thread(process.wait)
    await clients
