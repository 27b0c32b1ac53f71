"""The database stops under load and comes back: known tokens notice nothing, and nothing is lost.

TEST_OUTAGE_SECONDS says how long it is away.
"""

import asyncio
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest

from llm_proxy_site.processes import MANAGE, manage, running
from tests.e2e.load import Seen, ask_for_nothing, ask_json, ask_stream, ask_until, take_turns
from tests.live import eventually
from tests.postgres import OwnPostgres, is_there, own_postgres

pytestmark = pytest.mark.skipif(not is_there(), reason="no PostgreSQL programs, or no user to run them")

OUTAGE_SECONDS = float(os.environ.get("TEST_OUTAGE_SECONDS", "5"))
WAYS = (ask_json, ask_stream, ask_for_nothing, take_turns)


@dataclass
class Site:
    url: str
    postgres: OwnPostgres
    known: str
    unknown: str
    spool: Path
    environment: dict[str, str]

    def new_token(self) -> str:
        made = manage("create_token", "web", "--json", environment=self.environment)
        token: str = json.loads(made)["token"]
        return token

    def get(self, path: str, plain: str = "") -> httpx.Response:
        headers = {"authorization": f"Bearer {plain}"} if plain else {}
        return httpx.get(self.url + path, headers=headers, timeout=30)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with (
        own_postgres() as postgres,
        running("-m", "llm_proxy_site.fake_upstream", "--bind", "127.0.0.1:0") as (_, upstream),
    ):
        environment = {
            "DATABASE_URL": postgres.url,
            "DATA_DIR": str(tmp_path),
            "UPSTREAM_BASE_URL": upstream.split()[-1],
            "LEDGER_BATCH_SECONDS": "0.1",
            "DIRECTORY_TTL_SECONDS": "1",
        }
        manage("setup", environment=environment)
        manage("create_project", "web", "--upstream-key", "-", environment=environment, stdin="sk-upstream-1")
        known, unknown = (
            json.loads(
                manage("create_token", "web", "--max-requests", "1000000", "--json", environment=environment)
            )["token"]
            for _ in range(2)
        )
        with (
            (tmp_path / "serve.log").open("w") as log,
            running(str(MANAGE), "serve", "--bind", "127.0.0.1:0", environment=environment, stderr=log) as (
                _,
                line,
            ),
        ):
            yield Site(line.split()[-1], postgres, known, unknown, tmp_path / "spool", environment)


def test_a_database_that_goes_away_is_noticed_by_nobody_whose_token_is_known(site: Site) -> None:
    seen = Seen()
    during: dict[str, httpx.Response] = {}
    assert site.get("/v1/models", site.known).status_code == 200
    asyncio.run(_load_over_an_outage(site, seen, during))

    assert (seen.broken, set(seen.statuses)) == (0, {200, 404})
    assert (during["ready"].status_code, during["ready"].json()["status"]) == (200, "degraded")
    assert during["ready"].json()["checks"]["database"] == "unreachable, known tokens go on"
    assert (during["unknown"].status_code, during["unknown"].headers["retry-after"]) == (503, "1")
    assert during["unknown"].json()["error"]["code"] == "service_unavailable"
    assert (during["admin"].status_code, during["admin"].headers["retry-after"]) == (503, "5")
    assert "Traceback" not in during["admin"].text
    assert site.get("/admin/login/").status_code == 200
    assert site.get("/v1/models", site.unknown).status_code == 200
    with psycopg.connect(site.postgres.url) as database:
        eventually(lambda: _missing(database, seen) == set(), within_seconds=30)
        turns = "SELECT count(*) FROM usage_usagerecord WHERE method = 'TURN' AND outcome = 'completed'"
        assert database.execute(turns).fetchall()[0][0] >= sum(seen.turns.values()) > 0
        _assert_sums(database)
    print(f"{len(seen.ids)} requests, {dict(seen.turns)} turns, slowest {seen.slowest_seconds:.2f} s")  # noqa: T201


def test_a_database_that_says_nothing_takes_no_process_out_of_service(site: Site) -> None:
    """As a load balancer asks: within 5 s, again and again."""
    assert site.get("/v1/models", site.known).status_code == 200
    with site.postgres.frozen():
        statuses = []
        for _ in range(40):
            answer = httpx.get(site.url + "/ready", timeout=5)
            statuses.append((answer.status_code, answer.json()["status"]))
            time.sleep(0.25)
        assert site.get("/v1/models", site.known).status_code == 200

    assert set(statuses) == {(200, "ok"), (200, "degraded")}
    eventually(lambda: site.get("/ready").json()["status"] == "ok", within_seconds=30)


def test_connections_that_have_died_are_replaced_unnoticed(site: Site) -> None:
    """Those of all the threads that ask for tokens."""
    before, after = ([site.new_token() for _ in range(3)] for _ in range(2))
    with ThreadPoolExecutor(3) as clients:
        asked_at_once = list(clients.map(lambda plain: site.get("/v1/models", plain).status_code, before))
    with psycopg.connect(site.postgres.url, autocommit=True) as database:
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )

    assert asked_at_once == [200] * 3
    assert [site.get("/v1/models", plain).status_code for plain in after] == [200] * 3


async def _load_over_an_outage(site: Site, seen: Seen, during: dict[str, httpx.Response]) -> None:
    is_over = asyncio.Event()
    clients = asyncio.create_task(ask_until(is_over.is_set, site.url, site.known, seen, WAYS, each=1))
    await _until(lambda: len(seen.ids) > 10)
    await asyncio.to_thread(site.postgres.stop)
    began = time.monotonic()
    await _until(lambda: site.get("/ready").json()["status"] == "degraded")
    during["unknown"] = await asyncio.to_thread(site.get, "/v1/models", site.unknown)
    during["admin"] = await asyncio.to_thread(_sign_in, site)
    await asyncio.sleep(max(0, OUTAGE_SECONDS - (time.monotonic() - began)))
    during["ready"] = await asyncio.to_thread(site.get, "/ready")
    answered = len(seen.ids)
    await asyncio.to_thread(site.postgres.start)
    await _until(lambda: site.get("/ready").json()["status"] == "ok")
    await _until(lambda: len(seen.ids) > answered + 10)
    is_over.set()
    await clients


def _sign_in(site: Site) -> httpx.Response:
    """Which asks the database whoever signs in."""
    with httpx.Client(base_url=site.url, timeout=30) as http:
        http.get("/admin/login/")
        form = {"username": "admin", "password": "x", "csrfmiddlewaretoken": http.cookies["csrftoken"]}
        return http.post("/admin/login/", data=form)


async def _until(is_so: object, within_seconds: float = 60) -> None:
    assert callable(is_so)
    deadline = time.monotonic() + within_seconds
    while not await asyncio.to_thread(is_so):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def _missing(database: psycopg.Connection, seen: Seen) -> set[str]:
    rows = database.execute("SELECT id::text FROM usage_usagerecord").fetchall()
    return set(seen.ids) - {row[0] for row in rows}


def _assert_sums(database: psycopg.Connection) -> None:
    rows = database.execute(
        "SELECT count(*) FILTER (WHERE is_admitted), sum(coalesce(cost_microusd, 0)) FROM usage_usagerecord"
    ).fetchall()[0]
    days = database.execute(
        "SELECT sum(requests), sum(cost_microusd) FROM usage_dailyspend "
        "WHERE subject_id IN (SELECT id FROM tokens_accesstoken)"
    ).fetchall()[0]
    counted = database.execute("SELECT sum(request_count) FROM tokens_accesstoken").fetchall()[0]
    assert rows == days
    assert counted[0] == rows[0]
