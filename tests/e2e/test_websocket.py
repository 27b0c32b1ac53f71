"""WebSockets through a real server: what passes both ways, who may open one, and how it ends."""

import asyncio
import hashlib
import json
import os
import socket
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web
from asgiref.sync import sync_to_async

from tests.factories import UPSTREAM_KEY, ProjectFactory
from tests.live import LiveProxy
from tests.sockets import ask, new_token, rows, settled, talk, talking, upstream_socket

MIB = 1024 * 1024
TEXTS = ["", "plain", "café → naïve", "\x00\u2028 \U0001f600", '{"type": "unknown", "a": 1, "a": 2}']


@talking
async def test_messages_pass_both_ways_as_they_are(live: LiveProxy) -> None:
    token, plain = await new_token()
    async with talk(live, plain, echo=1, headers={"x-marker": str(token.id)}) as client:
        for text in TEXTS:
            await client.socket.send_str(text)
            message = await client.socket.receive(timeout=5)
            assert (message.type, message.data) == (aiohttp.WSMsgType.TEXT, text)
        for data in (b"", b"\x00\x01\xff", os.urandom(100_000)):
            await client.socket.send_bytes(data)
            message = await client.socket.receive(timeout=5)
            assert (message.type, message.data) == (aiohttp.WSMsgType.BINARY, data)

    seen = await upstream_socket(live, str(token.id))
    kinds = [message["kind"] for message in seen["socket"]["messages"]]
    assert kinds == ["text"] * len(TEXTS) + ["binary"] * 3
    assert seen["socket"]["messages"][2]["sha256"] == hashlib.sha256(TEXTS[2].encode()).hexdigest()


@talking
async def test_upstream_gets_the_headers_the_query_and_its_key(live: LiveProxy) -> None:
    token, plain = await new_token()
    path = f"/realtime?model=gpt-realtime&a%5B%5D=1&a%5B%5D=%C3%A9&marker={token.id}"
    sent = {"OpenAI-Beta": "realtime=v1", "OpenAI-Organization": "org-other", "X-Custom": "kept"}
    async with talk(live, plain, path, headers=sent) as client:
        await client.hear()

    seen = await upstream_socket(live, str(token.id))
    headers = {name.lower(): value for name, value in seen["headers"]}
    assert seen["target"] == f"/v1{path}"
    assert headers["authorization"] == f"Bearer {UPSTREAM_KEY}"
    assert (headers["openai-beta"], headers["x-custom"]) == ("realtime=v1", "kept")
    assert "openai-organization" not in headers
    assert "sec-websocket-extensions" not in headers
    assert plain not in str(seen)


@talking
async def test_a_browser_brings_its_token_in_a_subprotocol(live: LiveProxy) -> None:
    token, plain = await new_token()
    protocols = ("realtime", f"openai-insecure-api-key.{plain}", "openai-organization.org-other")
    path = f"/realtime?model=gpt-realtime&marker={token.id}"
    async with talk(live, None, path, protocols=protocols, headers={"origin": "https://app.test"}) as client:
        assert client.socket.protocol == "realtime"
        assert (await client.hear())["type"] == "session.created"

    seen = await upstream_socket(live, str(token.id))
    headers = {name.lower(): value for name, value in seen["headers"]}
    assert headers["sec-websocket-protocol"] == "realtime"
    assert "origin" not in headers
    assert plain not in str(seen)
    assert plain not in live.log()


@pytest.mark.parametrize(
    ("path", "token", "status", "code"),
    [
        ("/realtime?model=gpt-realtime", "sk-wt-nonsense", 401, "invalid_api_key"),
        ("/realtime?model=gpt-realtime", None, 401, "invalid_api_key"),
        ("/chat/completions", "good", 404, "endpoint_not_found"),
        ("/realtime/", "good", 404, "endpoint_not_found"),
        ("/realtime;x?model=gpt-realtime", "good", 404, "endpoint_not_found"),
        ("/realtime?model=a&model=b", "good", 400, "bad_request"),
    ],
)
@talking
async def test_what_may_not_be_opened_is_refused_in_http(
    live: LiveProxy, path: str, token: str | None, status: int, code: str
) -> None:
    _, plain = await new_token()
    token = plain if token == "good" else token
    answer = await refusal(f"{live.base_url}{path}", token)

    assert answer["status"] == status
    assert answer["error"]["code"] == code


@talking
async def test_there_is_no_websocket_outside_v1(live: LiveProxy) -> None:
    for path in ("/admin/", "/token", "/", "/v1"):
        assert (await refusal(live.url + path, None))["status"] == 404


async def refusal(url: str, token: str | None, **headers: str) -> dict[str, Any]:
    """The status and the JSON of an answer that is no WebSocket, with its headers."""
    sent = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        **headers,
    }
    if token:
        sent["authorization"] = f"Bearer {token}"
    async with aiohttp.ClientSession() as session, session.get(url, headers=sent) as answer:
        return {"status": answer.status, "headers": answer.headers, **json.loads(await answer.read())}


@talking
async def test_upstreams_own_refusal_passes(live: LiveProxy) -> None:
    token, plain = await new_token()
    headers = {"x-fake-status": "429", "x-fake-retry-after": "7"}
    answer = await refusal(f"{live.base_url}/realtime?model=gpt-realtime", plain, **headers)

    assert (answer["status"], answer["error"]["code"]) == (429, "rate_limit_exceeded")
    assert answer["headers"]["retry-after"] == "7"
    assert "set-cookie" not in answer["headers"]
    (row,) = await rows(token, 1)
    assert (row.status, row.outcome, row.cost_microusd) == (429, "completed", 0)


@talking
async def test_a_conversation_is_a_row_and_each_turn_is_one(live: LiveProxy) -> None:
    token, plain = await new_token()
    async with talk(live, plain) as client:
        for _ in range(2):
            await ask(client, "three short words")
            done = await client.hear_until("response.done")
    assert done["response"]["usage"]["input_tokens"] == 6 + 8 + 16

    connection, first, second = await rows(token, 3)
    assert (connection.method, connection.status, connection.outcome) == ("GET", 101, "completed")
    assert (connection.is_admitted, connection.cost_microusd) == (False, 0)
    for row in (first, second):
        assert (row.method, row.endpoint, row.path) == ("TURN", "/realtime", "/v1/realtime")
        assert (row.outcome, row.status, row.is_admitted) == ("completed", 200, True)
        assert (row.model, row.usage_source, row.cost_source) == ("gpt-realtime", "upstream", "price")
    assert (first.input_tokens, first.output_tokens, first.audio_output_tokens) == (3, 24, 16)
    assert (second.input_tokens, second.audio_input_tokens, second.cached_tokens) == (30, 16, 3)
    # gpt-realtime: USD 4 / 0.40 / 32 / 0.40 / 16 / 64 a million: text, cached, audio; text and audio out
    assert first.cost_microusd == 3 * 4 + 8 * 16 + 16 * 64
    assert second.cost_microusd == int(11 * 4 + 3 * 0.4 + 16 * 32 + 8 * 16 + 16 * 64) + 1


@talking
async def test_the_responses_api_speaks_websocket(live: LiveProxy) -> None:
    token, plain = await new_token()
    async with talk(live, plain, "/responses") as client:
        await client.say("response.create", model="gpt-4o", input="three short words")
        done = await client.hear_until("response.completed")

    turn = (await rows(token, 2))[1]
    assert (turn.method, turn.endpoint, turn.model) == ("TURN", "/responses", "gpt-4o-2024-08-06")
    assert (
        (turn.input_tokens, turn.output_tokens)
        == (3, 8)
        == (
            done["response"]["usage"]["input_tokens"],
            done["response"]["usage"]["output_tokens"],
        )
    )


@talking
async def test_messages_of_8_mib_pass_in_flat_memory(live: LiveProxy) -> None:
    _, plain = await new_token()
    audio = "A" * (8 * 1024 * 1024)
    text = json.dumps({"type": "input_audio_buffer.append", "audio": audio})
    async with talk(live, plain, echo=1) as client:
        grown = []
        for _ in range(12):
            await client.socket.send_str(text)
            message = await client.socket.receive(timeout=15)
            assert message.data == text
            grown.append(live.rss_bytes())
    assert grown[-1] - grown[3] < 32 * 1024 * 1024


@talking
async def test_a_message_beyond_the_limit_is_refused_by_1009(live: LiveProxy) -> None:
    _, plain = await new_token()
    async with talk(live, plain, echo=1) as client:
        await client.socket.send_bytes(b"x" * (33 * 1024 * 1024))
        assert (await client.end())[0] == 1009


@talking
async def test_upstream_is_not_read_while_the_client_does_not_read(live: LiveProxy) -> None:
    token, plain = await new_token()
    faults = {"size_bytes": 1_000_000, "chunks": 200}
    before = live.rss_bytes()
    async with talk(live, plain, headers={"x-marker": str(token.id)}, **faults) as client:
        await client.say("response.create")
        sent = await settled(lambda: live.upstream_requests(str(token.id))[0]["socket"]["sent_bytes"])
        assert sent < 60_000_000  # of 266 MB
        assert live.rss_bytes() - before < 64 * 1024 * 1024


@talking
async def test_the_client_is_not_read_while_upstream_does_not_read(live: LiveProxy) -> None:
    token, plain = await new_token()
    before = live.rss_bytes()
    async with talk(live, plain, hang="headers", headers={"x-marker": str(token.id)}) as client:
        sending = asyncio.create_task(send_for_ever(client))
        sent = await settled(lambda: client.sent)
        sending.cancel()
        assert sent < 60
        assert live.rss_bytes() - before < 64 * 1024 * 1024


async def send_for_ever(client: Any) -> None:
    client.sent = 0
    while True:
        await client.socket.send_bytes(b"x" * 1_000_000)
        client.sent += 1


@talking
async def test_header_values_go_upstream_byte_by_byte(live: LiveProxy) -> None:
    token, plain = await new_token()
    async with talk(live, plain, headers={"x-marker": str(token.id), "x-name": "Zo\u00eb"}) as client:
        await client.hear()
    seen = await upstream_socket(live, str(token.id))
    (value,) = (value for name, value in seen["headers"] if name.lower() == "x-name")
    assert value.encode("latin-1") == "Zo\u00eb".encode()


@talking
async def test_upstreams_refusal_is_read_to_its_end(live: LiveProxy) -> None:
    pieces = [b'{"error": {"code": "slow", ', b'"message": "said', b' in pieces"}}']

    async def refuse(request: web.BaseRequest) -> web.StreamResponse:
        answer = web.StreamResponse(status=400, headers={"content-type": "application/json"})
        await answer.prepare(request)
        for piece in pieces:
            await answer.write(piece)
            await asyncio.sleep(0.05)
        return answer

    server = web.ServerRunner(web.Server(refuse))
    await server.setup()
    await web.TCPSite(server, "127.0.0.1", 0).start()
    try:
        host, port = server.addresses[0][:2]
        project = await sync_to_async(ProjectFactory.create)(base_url=f"http://{host}:{port}/v1")
        _, plain = await new_token(project=project)
        answer = await refusal(f"{live.base_url}/realtime?model=gpt-realtime", plain)
    finally:
        await server.cleanup()
    assert (answer["status"], answer["error"]) == (400, {"code": "slow", "message": "said in pieces"})


@talking
async def test_a_client_that_sends_before_the_handshake_is_answered_is_not_read(
    private_live: LiveProxy,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        host, port = upstream.getsockname()
        project = await sync_to_async(ProjectFactory.create)(base_url=f"http://{host}:{port}/v1")
        _, plain = await new_token(project=project)
        before = private_live.rss_bytes()
        sent = await asyncio.to_thread(flood_handshake, private_live, plain, upstream)
        assert sent < 16 * MIB
        assert private_live.rss_bytes() - before < 16 * MIB


def flood_handshake(live: LiveProxy, plain: str, upstream: socket.socket) -> int:
    """How many bytes a connection takes whose handshake upstream never answers."""
    url = urlsplit(live.base_url)
    lines = [
        f"GET {url.path}/realtime?model=gpt-realtime HTTP/1.1",
        "Host: proxy",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        f"Authorization: Bearer {plain}",
    ]
    with socket.create_connection((url.hostname, url.port)) as client:
        client.sendall("\r\n".join([*lines, "", ""]).encode())
        upstream.settimeout(10)
        waiting, _ = upstream.accept()
        client.settimeout(1)
        sent = 0
        with waiting, suppress(TimeoutError):
            while sent < 32 * MIB:
                sent += client.send(b"x" * 262144)
        return sent
