"""The server itself: what it does with applications and clients that misbehave."""

import base64
import json
import os
import signal
import socket
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from django.utils import timezone

from llm_proxy_site.processes import MANAGE, running
from llm_proxy_site.server.refusals import LINGER_SECONDS
from tests.databases import own_database_url
from tests.factories import issue_token
from tests.live import LiveProxy, eventually
from tests.wire import talk
from tokens import lifecycle
from usage.models import UsageRecord


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GARBAGE\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /v1/files HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /v1/models HTTP/1.1\r\nBad Header\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
    ],
)
def test_what_is_not_http_is_refused(live: LiveProxy, request_bytes: bytes) -> None:
    answer = talk(live, request_bytes)

    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 401", b"HTTP/1.1 431"))
    assert b"Traceback" not in answer
    assert httpx.get(f"{live.url}/live").status_code == 200


def test_a_websocket_without_a_token_is_refused(live: LiveProxy) -> None:
    key = base64.b64encode(os.urandom(16))
    answer = talk(
        live,
        b"GET /v1/realtime?model=x HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + b"\r\n\r\n",
    )

    assert answer.startswith(b"HTTP/1.1 401")
    assert b'"invalid_api_key"' in answer


def test_http_1_0_is_answered_and_closed(live: LiveProxy) -> None:
    answer = talk(live, b"GET /live HTTP/1.0\r\nHost: localhost\r\n\r\n")

    assert answer.startswith((b"HTTP/1.0 200", b"HTTP/1.1 200"))
    assert answer.endswith(b'{"status": "ok"}')


def test_the_admin_site_is_served_with_its_static_files(live: LiveProxy) -> None:
    page = httpx.get(f"{live.url}/", follow_redirects=True)

    assert "LLM Proxy" in page.text
    style = httpx.get(f"{live.url}/static/admin/css/base.css")
    assert style.status_code == 200
    assert style.headers["content-type"].startswith("text/css")


def test_a_form_reaches_django_whole(live: LiveProxy) -> None:
    with httpx.Client(base_url=live.url) as client:
        client.get("/admin/login/")
        answer = client.post(
            "/admin/login/",
            data={
                "username": "nobody",
                "password": "x" * 50_000,
                "csrfmiddlewaretoken": client.cookies["csrftoken"],
            },
        )

    assert answer.status_code == 200
    assert "Please enter the correct username and password" in answer.text


def test_each_request_is_one_log_line_with_its_facts(live: LiveProxy) -> None:
    token, plain = issue_token()
    answer = httpx.get(f"{live.base_url}/models?secret=1", headers={"authorization": f"Bearer {plain}"})
    request_id = answer.headers["x-llm-proxy-request-id"]
    (line,) = eventually(lambda: [line for line in live.log().splitlines() if request_id in line])
    facts = json.loads(line)

    assert facts["event"] == "request"
    assert facts["token_id"] == str(token.id)
    assert (facts["outcome"], facts["status"], facts["endpoint"]) == ("completed", 200, "/models")
    assert "secret=1" not in line


def test_runserver_serves_the_same(live: LiveProxy, tmp_path: Path) -> None:
    token, plain = issue_token()
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = {
        "DATABASE_URL": own_database_url(),
        "UPSTREAM_BASE_URL": live.upstream_url,
        "LEDGER_BATCH_SECONDS": "60",
    }
    with running(str(MANAGE), "runserver", "--noreload", address, environment=environment):
        answer = eventually(lambda: _answer(f"http://{address}/v1/models", plain))

    assert answer.status_code == 200
    assert UsageRecord.objects.get(token=token).outcome == "completed"  # written when the server ended


def _answer(url: str, plain: str) -> httpx.Response | None:
    try:
        return httpx.get(url, headers={"authorization": f"Bearer {plain}"})
    except httpx.ConnectError:
        return None


def test_a_large_body_outside_v1_is_refused(live: LiveProxy) -> None:
    answer = httpx.post(f"{live.url}/admin/login/", content=iter([bytes(1024 * 1024)] * 8))

    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "request_too_large"


def test_a_control_character_in_a_header_is_refused(live: LiveProxy) -> None:
    answer = talk(live, b"GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-A: a\x01b\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 400")
    assert b'"bad_request"' in answer


def test_json_of_any_depth_reaches_upstream(live: LiveProxy) -> None:
    _, plain = issue_token()
    answer = httpx.post(
        f"{live.base_url}/chat/completions",
        content=b"[" * 100_000,
        headers={"authorization": f"Bearer {plain}", "content-type": "application/json"},
    )

    assert answer.status_code == 400
    assert answer.headers["x-request-id"].startswith("req_")  # it is upstream's answer


@pytest.mark.parametrize("path", ["/v1/models", "/token", "/nowhere"])
def test_a_refused_head_has_no_body_that_the_next_answer_could_begin_with(live: LiveProxy, path: str) -> None:
    head = f"HEAD {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
    received = talk(live, head, b"GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n")
    first, _, rest = received.partition(b"\r\n\r\n")
    assert first.split()[1] in (b"401", b"404")
    assert rest.startswith(b"HTTP/1.1 200")


def test_statuses_have_their_reason_phrase(live: LiveProxy) -> None:
    _, plain = issue_token(max_requests=1)
    head = f"GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {plain}\r\n\r\n".encode()
    received = talk(live, head, head)
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"HTTP/1.1 429 Too Many Requests\r\n" in received


def test_a_client_that_is_cut_and_does_not_read_is_disconnected(private_live: LiveProxy) -> None:
    live = private_live
    token, plain = issue_token()
    parts = urlsplit(live.url)
    with socket.create_connection((parts.hostname, parts.port)) as connection:
        connection.sendall(
            f"GET /v1/files/file-size-{200 * 1024 * 1024}/content HTTP/1.1\r\n"
            f"host: x\r\nauthorization: Bearer {plain}\r\n\r\n".encode()
        )
        eventually(lambda: live.upstream_stats()["running"])
        lifecycle.revoke(token, actor="user:test", now=timezone.now())
        eventually(lambda: UsageRecord.objects.filter(token=token, outcome="cut").exists())
        process = psutil.Process(live.process.pid)
        port = connection.getsockname()[1]
        eventually(
            lambda: not any(each.raddr and each.raddr.port == port for each in process.net_connections()),
            within_seconds=LINGER_SECONDS + 3,
        )


def test_many_clients_at_once_find_a_place_in_the_queue(private_live: LiveProxy) -> None:
    """While the server is busy, or stopped, the system takes connections for it."""
    parts = urlsplit(private_live.url)
    private_live.process.send_signal(signal.SIGSTOP)
    clients: list[socket.socket] = []
    try:
        for _ in range(300):
            clients.append(socket.create_connection((parts.hostname, parts.port), timeout=3))
    finally:
        private_live.process.send_signal(signal.SIGCONT)
    for client in clients:
        client.settimeout(60)
        client.sendall(b"GET /nowhere HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    answers = [client.recv(100) for client in clients]
    for client in clients:
        client.close()
    assert {answer.split()[1] for answer in answers} == {b"404"}
