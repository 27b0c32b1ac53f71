"""Upstreams that accept a request and do not take its body, and clients that leave meanwhile."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import aiohttp
import httpx
import pytest

from projects.models import Project
from tests.e2e.faults.asking import CHAT
from tests.factories import ProjectFactory, UpstreamKeyFactory, issue_token
from tests.live import POLL_SECONDS, LiveProxy, eventually, serving
from tokens.models import AccessToken
from usage.models import UsageRecord

pytestmark = pytest.mark.xdist_group("stalls")  # one process of tests, one server

LARGE = 12_000_000
ENDLESS = 48_000_000
"""More than the systems of client, proxy and upstream can take between them when nobody reads."""
FORM = "multipart/form-data; boundary=x"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
IMPATIENT = {
    "UPSTREAM_READ_TIMEOUT_SECONDS": "2",
    "UPSTREAM_MAX_RETRIES": "1",
    "BREAKER_MIN_REQUESTS": "3",
    "BREAKER_OPEN_SECONDS": "1",
}


@pytest.fixture(scope="module")
def _impatient(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveProxy]:
    with serving(tmp_path_factory.mktemp("stalls"), **IMPATIENT) as live:
        yield live


@pytest.fixture
def impatient(_impatient: LiveProxy, transactional_db: None) -> LiveProxy:
    """A proxy that waits 2 s for upstream."""
    return _impatient


@contextmanager
def upstream(
    answer: Callable[[socket.socket, int], None], listening: socket.socket | None = None
) -> Iterator[str]:
    """The base URL of one whose connections are each answered in a thread, with how many there have been."""
    accepted: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = found.accept()
            except OSError:
                return
            accepted.append(connection)
            threading.Thread(target=answer, args=(connection, len(accepted)), daemon=True).start()

    with listening or socket.create_server(("127.0.0.1", 0)) as found:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{found.getsockname()[1]}/v1"
        finally:
            found.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in accepted:
                connection.close()


def never_reads(connection: socket.socket, number: int) -> None:
    """It is accepted, and that is all."""


def resets_uploads(connection: socket.socket, number: int) -> None:
    """As servers do that wait no longer for a body."""
    if connection.recv(65536).startswith(b"POST"):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
    else:
        connection.sendall(ANSWER)


def record_of(token: AccessToken) -> UsageRecord:
    found = eventually(lambda: UsageRecord.objects.filter(token=token).first(), within_seconds=30)
    assert found is not None
    return found


@pytest.mark.parametrize("kind", ["held", "streamed"])
def test_a_body_that_upstream_does_not_take_is_not_waited_for(impatient: LiveProxy, kind: str) -> None:
    with upstream(never_reads) as base_url:
        limits = {"max_model_tokens_per_minute": 100_000_000} if kind == "held" else {}
        token, plain = issue_token(project=ProjectFactory.create(base_url=base_url), **limits)
        path, media, content = {
            "held": ("/chat/completions", "application/json", _long_chat()),
            "streamed": ("/files", FORM, b"x" * LARGE),
        }[kind]
        with socket_to(impatient) as client:
            client.sendall(
                f"POST /v1{path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {plain}\r\n"
                f"content-type: {media}\r\ncontent-length: {len(content)}\r\n\r\n".encode()
            )
            threading.Thread(target=_send, args=(client, content), daemon=True).start()
            client.settimeout(30)
            answer = client.recv(65536)
        record = record_of(token)

    assert answer.startswith(b"HTTP/1.1 504 ")
    assert (record.outcome, record.status, record.attempts) == ("upstream_failed", 504, 1)
    assert record.cost_source == "free"


@pytest.mark.parametrize("end", ["closes", "resets"])
@pytest.mark.parametrize("private_live", [{"UPSTREAM_READ_TIMEOUT_SECONDS": "300"}], indirect=True)
def test_a_client_that_leaves_while_upstream_does_not_take_its_body_is_noticed(
    private_live: LiveProxy, end: str
) -> None:
    with upstream(never_reads) as base_url:
        token, plain = issue_token(project=ProjectFactory.create(base_url=base_url))
        with socket_to(private_live) as client:
            client.sendall(
                f"POST /v1/files HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {plain}\r\n"
                f"content-type: {FORM}\r\ncontent-length: {ENDLESS}\r\n\r\n".encode()
            )
            if end == "closes":
                _send_until_unread(client)
            else:
                client.settimeout(2)
                with pytest.raises(TimeoutError):
                    client.sendall(b"x" * ENDLESS)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        record = record_of(token)

    assert (record.outcome, record.attempts, record.cost_source) == ("client_closed", 1, "free")


def test_uploads_that_their_clients_do_not_send_open_no_breaker(impatient: LiveProxy) -> None:
    with upstream(resets_uploads) as base_url:
        project = ProjectFactory.create(base_url=base_url)
        _, plain = issue_token(project=project)
        for _ in range(4):
            _stalled_upload(impatient, project)
        answer = httpx.get(f"{impatient.base_url}/models", headers={"authorization": f"Bearer {plain}"})

    assert answer.status_code == 200


def test_an_upload_that_trickles_as_the_probe_keeps_nobody_out(impatient: LiveProxy) -> None:
    uploads: list[int] = []

    def answer(connection: socket.socket, number: int) -> None:
        if connection.recv(65536).startswith(b"GET"):
            connection.sendall(ANSWER)
        else:
            uploads.append(number)

    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    base_url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    first, second = ProjectFactory.create(base_url=base_url), ProjectFactory.create(base_url=base_url)
    eventually(lambda: _models(impatient, first).json()["error"]["code"] == "upstream_unavailable")
    listening.listen(50)
    with upstream(answer, listening), ExitStack() as clients:

        def is_probing() -> bool:
            _, plain = issue_token(project=first)
            clients.enter_context(_begun_upload(impatient, plain))
            return _soon(lambda: bool(uploads))

        eventually(is_probing)
        passed = _models(impatient, second).status_code

    assert passed == 200


@pytest.mark.parametrize("end", ["hang-up", "total"])
@pytest.mark.parametrize("private_live", [{"UPSTREAM_TOTAL_TIMEOUT_SECONDS": "2"}], indirect=True)
def test_waiting_for_a_repetition_is_free(private_live: LiveProxy, end: str) -> None:
    token, plain = issue_token()
    headers = {"authorization": f"Bearer {plain}", "x-fake-status": "503", "x-fake-retry-after": "4"}
    patience = 1.0 if end == "hang-up" else 30.0
    try:
        httpx.post(f"{private_live.base_url}/chat/completions", json=CHAT, headers=headers, timeout=patience)
    except httpx.ReadTimeout:
        assert end == "hang-up"
    record = record_of(token)

    assert record.outcome == ("client_closed" if end == "hang-up" else "upstream_failed")
    assert (record.attempts, record.cost_source, record.cost_microusd) == (1, "free", 0)


def test_work_that_ran_into_time_is_charged_whatever_comes_of_its_repetition(impatient: LiveProxy) -> None:
    def hangs_once(connection: socket.socket, number: int) -> None:
        connection.recv(65536)
        if number > 1:
            connection.sendall(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")

    with upstream(hangs_once) as base_url:
        token, plain = issue_token(project=ProjectFactory.create(base_url=base_url))
        headers = {"authorization": f"Bearer {plain}", "idempotency-key": "k"}
        answer = httpx.post(f"{impatient.base_url}/chat/completions", json=CHAT, headers=headers, timeout=30)
        record = record_of(token)

    assert (answer.status_code, record.attempts, record.cost_source) == (503, 2, "price")
    assert 50 < record.output_tokens < 1000  # of 2 s


def test_a_key_that_upstream_may_have_worked_with_gives_way_to_no_other(impatient: LiveProxy) -> None:
    keys: list[bytes] = []

    def breaks_off_and_refuses(connection: socket.socket, number: int) -> None:
        head = connection.recv(65536).lower()
        keys.append(head.partition(b"authorization: ")[2].partition(b"\r\n")[0])
        if number > 1:
            connection.sendall(b"HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        connection.shutdown(socket.SHUT_RDWR)

    with upstream(breaks_off_and_refuses) as base_url:
        project = ProjectFactory.create(base_url=base_url)
        UpstreamKeyFactory.create(project=project, plain="sk-another-one")
        _, plain = issue_token(project=project)
        headers = {"authorization": f"Bearer {plain}", "idempotency-key": "k"}
        answer = httpx.post(f"{impatient.base_url}/chat/completions", json=CHAT, headers=headers, timeout=30)

    assert (answer.status_code, len(keys), len(set(keys))) == (401, 2, 1)


def test_a_handshake_that_breaks_off_is_asked_once(impatient: LiveProxy) -> None:
    connections: list[int] = []

    def breaks_off(connection: socket.socket, number: int) -> None:
        connection.recv(65536)
        connections.append(number)
        connection.shutdown(socket.SHUT_RDWR)

    async def connect() -> int:
        url = f"{impatient.base_url}/realtime?model=gpt-realtime"
        async with aiohttp.ClientSession(headers={"authorization": f"Bearer {plain}"}) as session:
            with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
                await session.ws_connect(url)
        return raised.value.status

    with upstream(breaks_off) as base_url:
        token, plain = issue_token(project=ProjectFactory.create(base_url=base_url))
        status = asyncio.run(connect())

    assert (status, connections, record_of(token).attempts) == (502, [1], 1)


def socket_to(live: LiveProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(live.url.rsplit(":", 1)[1])))


def _send(client: socket.socket, content: bytes) -> None:
    try:
        client.sendall(content)
    except OSError:
        return  # we have our answer


def _send_until_unread(client: socket.socket) -> None:
    """Until the proxy leaves a piece unread. No more: with unsent bytes before it a close is not heard of."""
    client.settimeout(30)
    while not _stays_unread(client):
        client.sendall(b"x" * 16384)


def _stays_unread(client: socket.socket, within_seconds: float = 1) -> bool:
    deadline = time.monotonic() + within_seconds
    while _unread_bytes(client):
        if time.monotonic() > deadline:
            return True
        time.sleep(POLL_SECONDS)
    return False


def _unread_bytes(client: socket.socket) -> int:
    """Of those that have reached the other side. https://docs.kernel.org/networking/proc_net_tcp.html"""
    ends = [f":{port:04X}" for port in (client.getpeername()[1], client.getsockname()[1])]
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines():
        _, local, remote, _, queues, *_ = line.split()
        if [local[-5:], remote[-5:]] == ends:
            return int(queues.partition(":")[2], 16)
    return 0


def _long_chat() -> bytes:
    return b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"' + b"x" * LARGE + b'"}]}'


def _begun_upload(live: LiveProxy, plain: str) -> socket.socket:
    client = socket_to(live)
    client.sendall(
        f"POST /v1/files HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {plain}\r\ncontent-type: {FORM}\r\n"
        "content-length: 1000000\r\n\r\nxx".encode()
    )
    return client


def _stalled_upload(live: LiveProxy, project: Project) -> None:
    token, plain = issue_token(project=project)
    with _begun_upload(live, plain) as client:
        client.settimeout(30)
        assert client.recv(65536).startswith(b"HTTP/1.1 502 ")
    record_of(token)


def _models(live: LiveProxy, project: Project) -> httpx.Response:
    _, plain = issue_token(project=project)
    return httpx.get(f"{live.base_url}/models", headers={"authorization": f"Bearer {plain}"}, timeout=30)


def _soon(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 1
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    return holds()
