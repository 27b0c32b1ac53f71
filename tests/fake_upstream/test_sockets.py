"""The fake upstream's WebSockets: conversations as OpenAI's, recorded, and broken on request."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tests.sockets import Talk, ask

from .upstream import Upstream


@asynccontextmanager
async def open_socket(
    upstream: Upstream, path: str = "realtime", *, protocols: tuple[str, ...] = (), **faults: object
) -> AsyncIterator[Talk]:
    headers = {f"x-fake-{name.replace('_', '-')}": str(value) for name, value in faults.items()}
    url = f"{upstream.base_url}/{path}"
    async with upstream.session.ws_connect(url, headers=headers, protocols=protocols) as socket:
        yield Talk(socket)


async def test_a_realtime_session_begins_and_is_updated(upstream: Upstream) -> None:
    async with open_socket(upstream, "realtime?model=gpt-realtime-mini") as client:
        created = await client.hear()
        await client.say("session.update", session={"instructions": "Be brief."})
        updated = await client.hear()
    assert (created["type"], created["session"]["model"]) == ("session.created", "gpt-realtime-mini")
    assert (updated["type"], updated["session"]["instructions"]) == ("session.updated", "Be brief.")


async def test_a_response_is_spoken_and_its_usage_grows_with_the_conversation(upstream: Upstream) -> None:
    async with open_socket(upstream, chunks=2) as client:
        await ask(client, "one two three")
        await client.hear_until("response.output_audio.delta")
        first = await client.hear_until("response.done")
        await client.say("response.create", response={"output_modalities": ["text"]})
        await client.hear_until("response.output_text.delta")
        second = await client.hear_until("response.done")
    assert first["response"]["usage"]["output_token_details"] == {"text_tokens": 2, "audio_tokens": 4}
    details = second["response"]["usage"]["input_token_details"]
    assert (details["text_tokens"], details["audio_tokens"], details["cached_tokens"]) == (5, 4, 3)


async def test_what_it_does_not_know_is_an_error_about_that_event(upstream: Upstream) -> None:
    async with open_socket(upstream) as client:
        await client.say("nonsense", event_id="mine")
        error = (await client.hear_until("error"))["error"]
        assert (error["code"], error["event_id"]) == ("invalid_value", "mine")
        await client.socket.send_str("{")
        assert (await client.hear_until("error"))["error"]["code"] == "invalid_json"


async def test_a_response_by_the_responses_api(upstream: Upstream) -> None:
    async with open_socket(upstream, "responses", chunks=3) as client:
        await client.say("response.create", model="gpt-4o", input="one two")
        done = await client.hear_until("response.completed")
        await client.say("response.create", input="no model")
        error = await client.hear_until("error")
    assert done["response"]["usage"]["output_tokens"] == 3
    assert error["status"] == 400


async def test_it_records_what_it_received(upstream: Upstream) -> None:
    protocols = ("realtime", "openai-insecure-api-key.sk-test")
    async with open_socket(upstream, protocols=protocols) as client:
        await client.hear()
        await client.say("session.update", session={})
        await client.hear()
        await client.socket.close(code=3007)
    socket = (await upstream.wait_for_state("finished"))["socket"]
    assert (socket["subprotocol"], socket["close_code"], socket["sent"]) == ("realtime", 3007, 2)
    assert json.loads(socket["messages"][0]["text"])["type"] == "session.update"


@pytest.mark.parametrize(
    ("faults", "code"), [({"close_code": 4001, "close_after": 1}, 4001), ({"cut_after": 1}, 1006)]
)
async def test_it_ends_as_it_is_told(upstream: Upstream, faults: dict[str, Any], code: int) -> None:
    async with open_socket(upstream, **faults) as client:
        assert (await client.hear())["type"] == "session.created"
        await client.say("response.create")
        assert (await client.end())[0] == code


async def test_it_refuses_a_handshake_as_it_is_told_and_without_a_key(upstream: Upstream) -> None:
    for faults, status in (({"status": 503}, 503), ({"nonsense": 1}, 400)):
        with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
            async with open_socket(upstream, **faults):
                pass
        assert raised.value.status == status
    async with upstream.session.get(f"{upstream.base_url}/realtime") as answer:
        assert answer.status == 426


async def test_it_may_leave_pings_without_an_answer(upstream: Upstream) -> None:
    async with upstream.session.ws_connect(
        f"{upstream.base_url}/realtime", headers={"x-fake-ignore-pings": "1"}, heartbeat=0.2
    ) as socket:
        await socket.receive()
        message = await socket.receive(timeout=5)
        assert message.type in (aiohttp.WSMsgType.ERROR, aiohttp.WSMsgType.CLOSED)
