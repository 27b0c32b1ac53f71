"""Requests that ask for another protocol: a body is a body whatever they ask for, and what is no handshake is
refused without a word of what was sent.
"""

import base64
import shutil
import subprocess
from uuid import uuid4

import pytest

from tests.factories import issue_token
from tests.live import LiveProxy
from tests.wire import connected, exchange, head, statuses, talk

CHAT = b'{"model":"gpt-4o","messages":[]}'
POST = "POST /v1/chat/completions HTTP/1.1"
SOCKET = "GET /v1/realtime?model=gpt-realtime HTTP/1.1"
UPGRADES = {
    "h2c": ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"],
    "several": ["Connection: upgrade", "Upgrade: h2c, websocket"],
    "proxy-connection": ["Proxy-Connection: upgrade", "Upgrade: h2c"],
    "not-in-connection": ["Upgrade: other/1.0"],
}
HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


class Asking:
    """A client with a token, whose requests are recognised upstream by their marker."""

    def __init__(self, live: LiveProxy) -> None:
        self.live = live
        self.plain = issue_token()[1]
        self.marker = f"upgrade-{uuid4()}"
        self.own = [f"Authorization: Bearer {self.plain}", f"X-Marker: {self.marker}"]

    def post(self, body: bytes, *lines: str, is_chunked: bool) -> bytes:
        if is_chunked:
            sent = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            return head(POST, *self.own, *lines, "Transfer-Encoding: chunked") + sent
        return head(POST, *self.own, *lines, f"Content-Length: {len(body)}") + body

    def bodies(self) -> list[bytes]:
        """Of all that upstream has received, whole."""
        requests = self.live.upstream_requests(self.marker)
        assert {request["state"] for request in requests} <= {"finished"}
        return [base64.b64decode(request["body_base64"]) for request in requests]


@pytest.fixture
def asking(live: LiveProxy) -> Asking:
    return Asking(live)


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("name", UPGRADES)
def test_a_body_is_a_body_whatever_its_request_would_upgrade_to(
    asking: Asking, name: str, is_chunked: bool
) -> None:
    hidden = head("GET /v1/models?smuggled HTTP/1.1", *asking.own)
    lines = ["Content-Type: x/y", *UPGRADES[name]]
    first = asking.post(hidden, *lines, is_chunked=is_chunked)
    second = asking.post(CHAT, "Content-Type: application/json", *UPGRADES[name], is_chunked=is_chunked)
    last = head("GET /v1/models?last HTTP/1.1", *asking.own, "Connection: close")
    answer = exchange(asking.live.url, first + second + last)

    assert len(statuses(answer)) == 3
    assert statuses(answer)[1:] == [200, 200]
    assert asking.bodies() == [hidden, CHAT, b""]


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_that_comes_after_its_head_is_awaited(asking: Asking, is_chunked: bool) -> None:
    whole = asking.post(CHAT, *UPGRADES["h2c"], "Content-Type: application/json", is_chunked=is_chunked)
    end = whole.index(b"\r\n\r\n") + 4
    with connected(asking.live.url) as connection:
        connection.sendall(whole[:end])
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(10)
        connection.sendall(whole[end:])
        received = connection.recv(65536)

    assert statuses(received) == [200]
    assert asking.bodies() == [CHAT]


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_client_that_closes_is_answered_once(asking: Asking, is_chunked: bool) -> None:
    lines = ["Connection: close, upgrade", "Upgrade: other"]
    answer = exchange(asking.live.url, asking.post(CHAT, *lines, is_chunked=is_chunked) * 2)

    assert statuses(answer) == [200]
    assert b"connection: close" in answer.lower()
    assert asking.bodies() == [CHAT]


def test_what_a_trailer_says_is_not_said_of_the_next_request(asking: Asking) -> None:
    first = asking.post(CHAT, is_chunked=True).removesuffix(b"\r\n")
    first += b"Connection: close, Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\n"
    answer = exchange(asking.live.url, first + asking.post(CHAT, "Connection: close", is_chunked=True))

    assert statuses(answer) == [200, 200]
    assert asking.bodies() == [CHAT, CHAT]


@pytest.mark.parametrize("framing", [f"Content-Length:{len(CHAT)} \t", "Transfer-Encoding:\tchunked "])
def test_blanks_around_a_value_are_not_of_it(asking: Asking, framing: str) -> None:
    body = CHAT if framing.startswith("C") else b"%x\r\n%b\r\n0\r\n\r\n" % (len(CHAT), CHAT)
    answer = exchange(asking.live.url, head(POST, *asking.own, "Connection: close ", framing) + body)

    assert statuses(answer) == [200]
    assert asking.bodies() == [CHAT]


def test_curl_may_ask_for_http_2(asking: Asking) -> None:
    curl = shutil.which("curl")
    if curl is None or b"HTTP2" not in subprocess.run([curl, "--version"], capture_output=True).stdout:
        pytest.skip("there is no curl that speaks HTTP/2")
    own = [argument for line in asking.own for argument in ("-H", line)]
    command = [curl, "--http2", "-sS", "-m", "10", *own, "-w", "%{http_code}", "-o", "/dev/null"]
    command += ["-H", "Content-Type: application/json", "--data-binary", CHAT.decode()]
    done = subprocess.run([*command, f"{asking.live.base_url}/chat/completions"], capture_output=True)

    assert (done.stdout, done.stderr) == (b"200", b"")
    assert asking.bodies() == [CHAT]


@pytest.mark.parametrize(
    ("line", "changed", "body"),
    [
        (SOCKET.replace("GET", "POST"), {}, b""),
        (SOCKET.replace("GET", "POST"), {"Content-Length": "5"}, b"hello"),
        (SOCKET.replace("GET", "POST"), {"Connection": None, "Sec-WebSocket-Key": None}, b""),
        (SOCKET.replace("1.1", "1.0"), {}, b""),
        (SOCKET, {"Content-Length": "5"}, b"hello"),
        (SOCKET, {"Transfer-Encoding": "chunked"}, b"0\r\n\r\n"),
        (SOCKET, {"Connection": None}, b""),
        (SOCKET, {"Connection": "keep-alive"}, b""),
        (SOCKET, {"Sec-WebSocket-Key": None}, b""),
        (SOCKET, {"Sec-WebSocket-Key": "c2hvcnQ="}, b""),
        (SOCKET, {"Sec-WebSocket-Version": None}, b""),
        (SOCKET, {"Sec-WebSocket-Version": "8"}, b""),
    ],
)
def test_a_handshake_that_lacks_something_is_refused_in_openais_shape(
    asking: Asking, line: str, changed: dict[str, str | None], body: bytes
) -> None:
    log = asking.live.log()
    lines = [f"{name}: {value}" for name, value in (HANDSHAKE | changed).items() if value is not None]
    answer = exchange(asking.live.url, head(line, *asking.own, *lines) + body)

    assert statuses(answer) == [400]
    assert b"\r\nContent-Type: application/json\r\n" in answer
    assert b'"code":"bad_request"' in answer
    assert asking.bodies() == []
    assert "Traceback" not in asking.live.log().removeprefix(log)


@pytest.mark.parametrize("is_one_line", [False, True])
def test_a_subprotocol_may_be_offered_twice(asking: Asking, is_one_line: bool) -> None:
    offered = ["realtime", *[f"openai-insecure-api-key.{asking.plain}"] * 2, "realtime"]
    values = [", ".join(offered)] if is_one_line else offered
    lines = [f"{name}: {value}" for name, value in HANDSHAKE.items()]
    lines += [f"Sec-WebSocket-Protocol: {value}" for value in values]
    answer = talk(asking.live, head(SOCKET, asking.own[1], *lines), silence_seconds=1)

    assert statuses(answer) == [101]
    assert answer.lower().count(b"sec-websocket-protocol: realtime\r\n") == 1
    assert asking.plain.encode() not in answer


@pytest.mark.parametrize(
    "said", ["Host: x:{}", "Origin: {}", "Sec-WebSocket-Extensions: {};;=", "Upgrade: {}"]
)
def test_no_answer_to_a_handshake_says_what_was_sent(asking: Asking, said: str) -> None:
    lines = [f"{name}: {value}" for name, value in HANDSHAKE.items()]
    request = head(SOCKET, *asking.own, *lines, said.format(asking.plain))
    if said.startswith("Host"):
        request = request.replace(b"Host: proxy.example\r\n", b"")
    log = asking.live.log()
    answer = talk(asking.live, request, silence_seconds=1)

    assert statuses(answer) in ([101], [400])
    assert statuses(answer) == [101] or b'"code":"bad_request"' in answer
    assert asking.plain.encode() not in answer
    written = asking.live.log().removeprefix(log)
    assert "Traceback" not in written
    assert asking.plain not in written
