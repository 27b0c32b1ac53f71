"""Who may not pass, what they are told, and that upstream never hears of it."""

import asyncio
import socket
from collections import Counter
from datetime import timedelta
from urllib.parse import urlsplit

import httpx
import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from llm_proxy_site.processes import manage
from projects.models import Project
from tests.databases import own_database_url
from tests.factories import issue_token
from tests.live import LiveProxy, eventually
from tokens.format import generate
from tokens.models import AccessToken
from usage.models import UsageRecord


def get(live: LiveProxy, plain: str, path: str = "/models", **headers: str) -> httpx.Response:
    return httpx.get(f"{live.base_url}{path}", headers={"authorization": f"Bearer {plain}", **headers})


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer sk-wt-nonsense",
        "Basic abc",
        pytest.param(f"Bearer {generate()[1]}", id="unknown"),
    ],
)
def test_without_a_valid_token_nothing_passes(live: LiveProxy, authorization: str) -> None:
    answer = httpx.get(f"{live.base_url}/models?m=no-token-marker", headers={"authorization": authorization})

    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"
    assert live.upstream_requests("no-token-marker") == []


def test_an_expired_token_is_refused_at_once(live: LiveProxy) -> None:
    token, plain = issue_token()
    expires_at = timezone.now() + timedelta(seconds=1.5)
    AccessToken.objects.filter(pk=token.pk).update(expires_at=expires_at)
    assert get(live, plain).status_code == 200

    answer = eventually(lambda: (a := get(live, plain)).status_code != 200 and a, within_seconds=3)
    assert timezone.now() < expires_at + timedelta(seconds=0.5)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "token_expired"
    assert answer.headers["x-should-retry"] == "false"


def test_a_token_revoked_by_another_process_is_refused_everywhere_within_two_seconds(
    live: LiveProxy, private_live: LiveProxy
) -> None:
    token, plain = issue_token()
    assert {get(server, plain).status_code for server in (live, private_live)} == {200}
    manage("revoke_token", str(token.id), environment=database_of_the_test())

    revoked_at = AccessToken.objects.get(pk=token.pk).revoked_at
    assert revoked_at is not None
    eventually(
        lambda: {get(server, plain).status_code for server in (live, private_live)} == {401}, within_seconds=5
    )
    assert timezone.now() - revoked_at < timedelta(seconds=2)
    record = eventually(lambda: UsageRecord.objects.filter(token=token, outcome="refused").first())
    assert record.error_code == "invalid_api_key"


def test_a_token_revoked_while_its_body_is_on_the_way_reaches_nothing(live: LiveProxy) -> None:
    token, plain = issue_token()
    other, other_plain = issue_token()
    parts = urlsplit(live.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall(
            b"POST /v1/chat/completions?m=slow-body-marker HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            b"Content-Type: application/json\r\nContent-Length: 20\r\n"
            b"Authorization: Bearer " + plain.encode() + b"\r\n\r\n{"
        )
        # Both are known to the server when they are revoked; the second tells when it has noticed.
        assert get(live, plain).status_code == get(live, other_plain).status_code == 200
        AccessToken.objects.filter(pk__in=[token.pk, other.pk]).update(
            is_active=False, revoked_at=timezone.now(), updated_at=timezone.now()
        )
        eventually(lambda: get(live, other_plain).status_code == 401, within_seconds=5)
        connection.sendall(b" " * 18 + b"}")
        answer = connection.recv(4096)

    assert answer.startswith(b"HTTP/1.1 401")
    assert live.upstream_requests("slow-body-marker") == []


def test_a_deactivated_project_is_refused_within_two_seconds_and_back_again(live: LiveProxy) -> None:
    token, plain = issue_token()
    assert get(live, plain).status_code == 200
    manage("deactivate_project", token.project.name, environment=database_of_the_test())

    deactivated_at = Project.objects.get(pk=token.project_id).deactivated_at
    assert deactivated_at is not None
    answer = eventually(lambda: (a := get(live, plain)).status_code != 200 and a, within_seconds=5)
    assert timezone.now() - deactivated_at < timedelta(seconds=2)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "project_inactive")

    manage("activate_project", token.project.name, environment=database_of_the_test())
    eventually(lambda: get(live, plain).status_code == 200, within_seconds=5)


def test_a_token_that_is_switched_off_is_forbidden(live: LiveProxy) -> None:
    token, plain = issue_token()
    AccessToken.objects.filter(pk=token.pk).update(is_active=False)

    answer = get(live, plain)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "token_inactive")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/organization/admin_api_keys", 404, "endpoint_not_found"),
        ("GET", "/files/..%2forganization%2fusers", 404, "endpoint_not_found"),
        ("GET", "/files/%2e%2e/content", 404, "endpoint_not_found"),
        ("GET", "//models", 404, "endpoint_not_found"),
        ("GET", "/models/", 404, "endpoint_not_found"),
        ("GET", "/Models", 404, "endpoint_not_found"),
        ("GET", "", 404, "endpoint_not_found"),
        ("POST", "/realtime/client_secrets", 403, "endpoint_not_permitted"),
        ("DELETE", "/models", 405, "method_not_allowed"),
        ("OPTIONS", "/models", 405, "method_not_allowed"),
    ],
)
def test_what_the_allowlist_does_not_name_is_refused(
    live: LiveProxy, method: str, path: str, status: int, code: str
) -> None:
    _, plain = issue_token()
    with httpx.Client() as client:
        request = client.build_request(method, live.base_url, headers={"authorization": f"Bearer {plain}"})
        request.extensions["target"] = f"/v1{path}?m=allowlist-marker".encode()
        answer = client.send(request)

    assert answer.status_code == status
    assert answer.json()["error"]["code"] == code
    assert ("allow" in answer.headers) == (status == 405)
    assert live.upstream_requests("allowlist-marker") == []


async def test_of_64_clients_exactly_max_requests_reach_upstream(live: LiveProxy) -> None:
    token, plain = await sync_to_async(issue_token)(max_requests=100)
    headers = {"authorization": f"Bearer {plain}", "x-marker": "cap-marker"}

    async def client() -> list[int]:
        async with httpx.AsyncClient(headers=headers, timeout=60) as session:
            return [(await session.get(f"{live.base_url}/models")).status_code for _ in range(3)]

    statuses = Counter(
        status for statuses in await asyncio.gather(*[client() for _ in range(64)]) for status in statuses
    )

    assert statuses == {200: 100, 429: 92}
    assert len(live.upstream_requests("cap-marker")) == 100
    answer = await sync_to_async(get)(live, plain)
    assert answer.json()["error"] == {
        "message": "All requests that this access token may make have been made: 100.",
        "type": "insufficient_quota",
        "param": None,
        "code": "request_limit_reached",
    }
    assert answer.headers["x-should-retry"] == "false"
    await sync_to_async(eventually)(lambda: AccessToken.objects.get(pk=token.pk).request_count == 100)
    await sync_to_async(eventually)(lambda: UsageRecord.objects.filter(token=token).count() == 193)


def test_a_project_without_a_usable_key_is_said_to_have_none(live: LiveProxy) -> None:
    token, plain = issue_token()
    token.project.upstream_keys.update(is_active=False)

    answer = get(live, plain)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "upstream_key_unavailable")


def database_of_the_test() -> dict[str, str]:
    return {"DATABASE_URL": own_database_url()}
