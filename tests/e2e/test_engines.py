"""A token's life on PostgreSQL and on MariaDB: set up by its command, served, revoked, recorded."""

import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from llm_proxy_site.processes import MANAGE, manage, running
from tests.databases import execute
from tests.installations import Installation
from tests.live import NOT_MEASURED, eventually

NAMES = ["web", "Web", "w\u00e9b", "web \U0001f680"]
"""They differ, if only in case or accent."""
ENGINES = [pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("postgres", "mysql")]


@pytest.fixture(params=ENGINES)
def installation(request: pytest.FixtureRequest) -> Installation:
    installation: Installation = request.getfixturevalue(f"{request.param}_installation")
    return installation


def test_a_token_lives_and_dies(installation: Installation) -> None:
    with running("-m", "llm_proxy_site.fake_upstream", "--bind", "127.0.0.1:0") as (_, upstream):
        environment = {
            **installation,
            "UPSTREAM_BASE_URL": upstream.split()[-1],
            "LEDGER_BATCH_SECONDS": "0.05",
            **NOT_MEASURED,
        }
        for name in NAMES:
            manage(
                "create_project", name, "--upstream-key", "-", environment=environment, stdin="sk-upstream-1"
            )
        listed = json.loads(manage("list_projects", "--json", environment=environment))
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
                ),
                within_seconds=60,
            )
            manage("revoke_token", token["id"], environment=environment)
            eventually(lambda: httpx.get(f"{url}/v1/models", headers=headers).status_code == 401)

    assert {project["name"] for project in listed} == set(NAMES)
    assert ready["status"] == "ok"
    assert answers == [200] * 5 + [429]
    assert counted["state"] == "exhausted"
    outcomes = dict(
        execute(installation["DATABASE_URL"], "SELECT outcome, count(*) FROM usage_usagerecord GROUP BY 1")
    )
    ((model,),) = execute(
        installation["DATABASE_URL"], "SELECT DISTINCT model FROM usage_usagerecord WHERE model <> ''"
    )
    assert outcomes["completed"] == 5
    assert outcomes["refused"] >= 2
    assert "\0" not in model


def _token(environment: dict[str, str]) -> dict[str, object]:
    facts: dict[str, object] = json.loads(manage("list_tokens", "--json", environment=environment))[0]
    return facts


def test_two_workers_count_and_sum_what_many_clients_send(installation: Installation, redis_url: str) -> None:
    """Two ledgers write the same tokens' and projects' rows at the same time."""
    with running("-m", "llm_proxy_site.fake_upstream", "--bind", "127.0.0.1:0") as (_, upstream):
        environment = {
            **installation,
            "UPSTREAM_BASE_URL": upstream.split()[-1],
            "LEDGER_BATCH_SECONDS": "0.01",
            "REDIS_URL": redis_url,
            "WORKERS": "2",
            **NOT_MEASURED,
        }
        manage("create_project", "web", "--upstream-key", "-", environment=environment, stdin="sk-upstream-1")
        issue = ("create_tokens", "web", "--count", "4", "--max-requests", "50", "--format", "json")
        plains = [token["token"] for token in json.loads(manage(*issue, environment=environment))]
        with running(str(MANAGE), "serve", "--bind", "127.0.0.1:0", environment=environment) as (_, line):
            url = f"{line.split()[-1]}/v1/models"

            def ask(number: int) -> int:
                headers = {"authorization": f"Bearer {plains[number % len(plains)]}"}
                return client.get(url, headers=headers).status_code

            with httpx.Client(timeout=60) as client, ThreadPoolExecutor(8) as clients:
                statuses = list(clients.map(ask, range(240)))

    assert sorted(statuses) == [200] * 200 + [429] * 40
    ((rows,),) = execute(installation["DATABASE_URL"], "SELECT count(*) FROM usage_usagerecord")
    ((counted,),) = execute(installation["DATABASE_URL"], "SELECT sum(request_count) FROM tokens_accesstoken")
    ((summed,),) = execute(installation["DATABASE_URL"], "SELECT sum(requests) FROM usage_dailyspend")
    assert (rows, counted, summed) == (240, 200, 2 * 200)
