"""The whole life of a token on PostgreSQL: set up by the commands, served, revoked, recorded."""

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import httpx
import psycopg
import pytest

from llm_proxy_site.processes import MANAGE, manage, running
from tests.live import eventually

pytestmark = pytest.mark.postgres

SERVER = os.environ.get("TEST_POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/postgres")


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database of the test's own."""
    name = f"llm_proxy_{uuid.uuid4().hex}"
    try:
        server = psycopg.connect(SERVER, autocommit=True, connect_timeout=3)
    except psycopg.OperationalError as problem:
        if request.config.getoption("--require-services"):
            raise
        pytest.skip(f"no PostgreSQL at TEST_POSTGRES_URL: {problem}".splitlines()[0])
    with server:
        server.execute(f'CREATE DATABASE "{name}"')
        yield urlunsplit(urlsplit(SERVER)._replace(path=f"/{name}"))
        server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    server.close()


def test_a_token_lives_and_dies_on_postgresql(database_url: str, tmp_path: Path) -> None:
    with running("-m", "llm_proxy_site.fake_upstream", "--bind", "127.0.0.1:0") as (_, upstream):
        environment = {
            "DATABASE_URL": database_url,
            "DATA_DIR": str(tmp_path),
            "UPSTREAM_BASE_URL": upstream.split()[-1],
            "LEDGER_BATCH_SECONDS": "0.05",
        }
        manage("setup", environment=environment)
        manage("create_project", "web", "--upstream-key", "-", environment=environment, stdin="sk-upstream-1")
        token = json.loads(
            manage("create_token", "web", "--max-requests", "5", "--json", environment=environment)
        )
        with running(str(MANAGE), "serve", "--bind", "127.0.0.1:0", environment=environment) as (_, line):
            url = line.split()[-1]
            headers = {"authorization": f"Bearer {token['token']}"}
            ready = httpx.get(f"{url}/ready").json()
            chat = {"model": "nul\0 and é", "messages": [{"role": "user", "content": "Hi"}]}
            answers = [
                httpx.post(f"{url}/v1/chat/completions", json=chat, headers=headers).status_code
                for _ in range(6)
            ]
            counted = eventually(
                lambda: (
                    (facts := _token(environment))["request_count"] == 5 and facts["last_used_at"] and facts
                )
            )
            manage("revoke_token", token["id"], environment=environment)
            eventually(
                lambda: httpx.get(f"{url}/v1/models", headers=headers).status_code == 401, within_seconds=5
            )

    assert ready["status"] == "ok"
    assert answers == [200] * 5 + [429]
    assert counted["state"] == "exhausted"
    with psycopg.connect(database_url) as database:
        outcomes: dict[str, int] = dict(
            database.execute("SELECT outcome, count(*) FROM usage_usagerecord GROUP BY 1").fetchall()
        )
        (model,) = database.execute("SELECT DISTINCT model FROM usage_usagerecord").fetchall()[0]
    assert outcomes["completed"] == 5
    assert outcomes["refused"] >= 2
    assert "\0" not in model


def _token(environment: dict[str, str]) -> dict[str, object]:
    facts: dict[str, object] = json.loads(manage("list_tokens", "--json", environment=environment))[0]
    return facts
