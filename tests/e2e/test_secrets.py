"""No plain token and no upstream key where they do not belong: logs, the database, answers."""

import subprocess
import sys

import httpx
from django.db import connection

from llm_proxy_site.processes import MANAGE, manage
from tests.databases import own_database_url
from tests.factories import UPSTREAM_KEY, ProjectFactory, issue_token
from tests.live import LiveProxy, eventually
from usage.models import UsageRecord

SECRET_KEY = "sk-planted-REVOKED-upstream-key-abcd"


def test_secrets_appear_in_no_log_answer_or_table(private_live: LiveProxy) -> None:
    live = private_live
    token, plain = issue_token()
    other, other_plain = issue_token(project=ProjectFactory.create(upstream_key__plain=SECRET_KEY))
    broken, broken_plain = issue_token(project=ProjectFactory.create(base_url="http://127.0.0.1:1/v1"))
    environment = {"DATABASE_URL": own_database_url()}
    answers = [
        _answer(live, method, path, {"authorization": f"Bearer {secret}", **headers})
        for secret in (plain, other_plain, broken_plain, plain[:-1] + "x")
        for method, path, headers in [
            ("GET", "/models", {}),
            ("GET", "/nowhere", {}),
            ("GET", "/models", {"x-fake-status": "500"}),
            ("GET", "/models", {"x-fake-cut-after": "0"}),
            ("DELETE", "/models", {"api-key": secret}),
        ]
    ]
    printed = manage("list_projects", environment=environment) + manage(
        "list_tokens", "--json", environment=environment
    )
    printed += manage("revoke_token", plain, "--json", environment=environment)
    refused = subprocess.run(
        [sys.executable, str(MANAGE), "revoke_token", plain[:-1] + "x"], capture_output=True, text=True
    )
    eventually(lambda: UsageRecord.objects.filter(token__in=[token, other, broken]).count() == 15)

    seen = {
        "log": live.log(),
        "answers": "".join(answers),
        "output": printed + refused.stdout + refused.stderr,
        "database": _dump(),
    }
    for where, text in seen.items():
        assert len(text) > 500, where
        for secret in (plain, other_plain, broken_plain, plain[-33:-6], UPSTREAM_KEY, SECRET_KEY):
            assert secret not in text, where


def _answer(live: LiveProxy, method: str, path: str, headers: dict[str, str]) -> str:
    try:
        answer = httpx.request(method, f"{live.base_url}{path}", headers=headers)
    except httpx.TransportError as problem:
        return repr(problem)
    return f"{answer.headers} {answer.text}"


def _dump() -> str:
    """All rows of all tables."""
    rows = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608
            rows += cursor.fetchall()
    return "\n".join(map(repr, rows))
