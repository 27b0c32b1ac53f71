"""The front of docker-compose.yml, as it is shipped, with TLS before a real server."""

import json
import os
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from django.conf import settings
from websockets.sync.client import connect

from tests.factories import ProjectFactory, issue_token
from tests.live import LiveProxy, eventually, serving
from tests.postgres import free_port

CADDY = Path(sys.executable).with_name("caddy")
CADDYFILE = Path(settings.BASE_DIR) / "deploy/front/Caddyfile"
SLOWLY = {"x-fake-chunk-delay-ms": "100", "x-fake-chunks": "6"}
BEHIND = {"TRUSTED_PROXY_COUNT": "1", "USE_X_FORWARDED_PROTO": "true"}


@dataclass(frozen=True)
class Front:
    address: str
    tls: ssl.SSLContext


@pytest.fixture(scope="module")
def shared(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("front")
    with serving(folder, **BEHIND) as live, fronting(live, folder) as front:
        yield front


@pytest.fixture
def front(shared: Front, transactional_db: None) -> Front:
    return shared


@contextmanager
def fronting(live: LiveProxy, folder: Path) -> Iterator[Front]:
    behind = urlsplit(live.url)
    address = f"localhost:{free_port()}"
    environment = {
        "SITE_ADDRESS": address,
        "HTTP_PORT": str(free_port()),
        "REPLICA_NAME": behind.hostname or "",
        "REPLICA_PORT": str(behind.port),
        "HOME": str(folder),
        "PATH": os.environ["PATH"],
    }
    authority = folder / ".local/share/caddy/pki/authorities/local/root.crt"
    with (folder / "caddy.log").open("w") as log:
        caddy = subprocess.Popen([CADDY, "run", "--config", CADDYFILE], env=environment, stderr=log)
        try:
            eventually(authority.exists)
            tls = ssl.create_default_context(cafile=str(authority))
            eventually(lambda: answers(f"https://{address}/live", tls))
            yield Front(address, tls)
        finally:
            caddy.terminate()
            caddy.wait(10)


def answers(url: str, tls: ssl.SSLContext) -> bool:
    try:
        return httpx.get(url, verify=tls).is_success
    except httpx.TransportError:
        return False


def test_streams_pass_piece_by_piece(front: Front) -> None:
    body = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    sent = {"authorization": f"Bearer {issue_token()[1]}", **SLOWLY}
    url = f"https://{front.address}/v1/chat/completions"
    with httpx.stream("POST", url, json=body, headers=sent, verify=front.tls) as answer:
        came_at = [time.monotonic() for line in answer.iter_lines() if line]

    assert len(came_at) > 6
    assert came_at[-1] - came_at[0] > 0.4


def test_websockets_pass(front: Front) -> None:
    url = f"wss://{front.address}/v1/realtime?model=gpt-realtime"
    sent = {"authorization": f"Bearer {issue_token()[1]}"}
    with connect(url, ssl=front.tls, additional_headers=sent) as socket:
        assert json.loads(socket.recv(timeout=10))["type"] == "session.created"


def test_the_proxy_learns_who_its_client_is_and_that_there_was_tls(front: Front) -> None:
    plain = issue_token(project=ProjectFactory.create(), rules={"networks": ["192.0.2.0/24"]})[1]
    forged = {"authorization": f"Bearer {plain}", "x-forwarded-for": "192.0.2.7"}

    refused = httpx.get(f"https://{front.address}/v1/models", headers=forged, verify=front.tls)
    page = httpx.get(f"https://{front.address}/admin/login/", verify=front.tls)

    assert refused.json()["error"]["code"] == "ip_not_allowed"
    assert "; Secure" in page.headers["set-cookie"]


def test_it_is_formatted(tmp_path: Path) -> None:
    copy = shutil.copy(CADDYFILE, tmp_path)

    assert subprocess.run([CADDY, "fmt", copy], capture_output=True).returncode == 0
