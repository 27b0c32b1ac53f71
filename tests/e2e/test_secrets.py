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


def test_a_token_in_a_path_or_in_place_of_a_model_is_written_nowhere(private_live: LiveProxy) -> None:
    """A client that has its settings mixed up. Whoever may read of requests may not use their tokens."""
    live = private_live
    token, plain = issue_token()
    headers = {"authorization": f"Bearer {plain}"}
    statuses = [
        httpx.get(f"{live.base_url}/{plain}/models", headers=headers).status_code,
        httpx.get(f"{live.base_url}/files/{plain}", headers=headers).status_code,
        httpx.get(f"{live.url}/{plain}/v1/models", headers=headers).status_code,
        httpx.get(f"{live.url}/manage/projects/{plain}", headers=headers).status_code,
    ]
    statuses += [
        httpx.post(
            f"{live.base_url}/chat/completions",
            json={"model": plain, "messages": [], "stream": is_stream},
            headers={**headers, **faults},
        ).status_code
        for is_stream in (False, True)
        for faults in ({}, {"x-fake-status": "404"})
    ]
    assert set(statuses) <= {200, 401, 404}
    eventually(lambda: UsageRecord.objects.filter(token=token).count() == 6)
    paths = set(UsageRecord.objects.values_list("path", "model"))
    assert paths == {
        ("/v1/[redacted]/models", ""),
        ("/v1/files/[redacted]", ""),
        ("/v1/chat/completions", "[redacted]"),
    }
    for where, text in (("log", live.log()), ("database", _dump())):
        assert plain not in text, where
