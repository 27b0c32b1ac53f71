"""What the rules of a token refuse on a WebSocket: the handshake, and the events that choose a model."""

from typing import Any

import aiohttp
import httpx
import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from tests.live import LiveProxy, eventually
from tests.sockets import ask, new_token, rows, talk, talking, upstream_socket
from tokens.models import AccessToken

MODELS = {"models": ["gpt-realtime", "gpt-4o-mini"]}
POLICY = 1008


async def refused(live: LiveProxy, plain: str, path: str, **headers: str) -> tuple[int, str]:
    """Of a handshake: the status, and what stands in its error's code."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(
            live.base_url + path,
            headers={
                "authorization": f"Bearer {plain}",
                "connection": "Upgrade",
                "upgrade": "websocket",
                "sec-websocket-version": "13",
                "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
                **headers,
            },
        ) as answer,
    ):
        return answer.status, (await answer.json())["error"]["code"]


@pytest.mark.parametrize(
    ("rules", "path", "headers", "code"),
    [
        (MODELS, "/realtime?model=gpt-4o", {}, "model_not_allowed"),
        (MODELS, "/realtime?model=gpt%2D4o", {}, "model_not_allowed"),
        (MODELS, "/realtime?intent=transcription", {}, "model_not_allowed"),
        ({"endpoints": ["POST /responses"]}, "/responses", {}, "endpoint_not_allowed"),
        ({"endpoints": ["chat"]}, "/realtime?model=gpt-realtime", {}, "endpoint_not_allowed"),
        ({"networks": ["10.0.0.0/8"]}, "/realtime?model=gpt-realtime", {}, "ip_not_allowed"),
        (
            {"origins": ["https://app.example.com"]},
            "/realtime?model=gpt-realtime",
            {"origin": "https://evil.example.com"},
            "origin_not_allowed",
        ),
    ],
)
@talking
async def test_a_handshake_that_the_rules_do_not_allow_is_refused(
    live: LiveProxy, rules: dict[str, Any], path: str, headers: dict[str, str], code: str
) -> None:
    token, plain = await new_token(rules=rules)
    assert await refused(live, plain, path, **headers, **{"x-marker": f"refused-{token.id}"}) == (403, code)
    assert await sync_to_async(live.upstream_requests)(f"refused-{token.id}") == []
    (row,) = await rows(token, 1)
    assert (row.outcome, row.error_code) == ("refused", code)


@pytest.mark.parametrize("name", ["WEBSOCKET /realtime", "realtime"])
@talking
async def test_rules_can_name_a_websocket(live: LiveProxy, name: str) -> None:
    _, plain = await new_token(rules={"endpoints": [name]} | MODELS)
    async with talk(live, plain) as client:
        await ask(client, "hello")
        assert (await client.hear_until("response.done"))["response"]["status"] == "completed"


@pytest.mark.parametrize(
    "event",
    [
        {"type": "session.update", "session": {"model": "gpt-4o"}},
        {
            "type": "session.update",
            "session": {"audio": {"input": {"transcription": {"model": "whisper-1"}}}},
        },
        {"type": "response.create", "response": {"model": "gpt-4o"}},
        {"type": "response.create", "model": "gpt-4o"},
        {"type": "anything", "model": "gpt-4o"},
    ],
)
@talking
async def test_a_model_cannot_be_changed_to_one_that_is_not_allowed(
    live: LiveProxy, event: dict[str, Any]
) -> None:
    token, plain = await new_token(rules=MODELS)
    async with talk(live, plain, headers={"x-marker": str(token.id)}) as client:
        await client.hear()
        await client.say(event.pop("type"), **event)
        assert (await client.end())[0] == POLICY
    recorded = await upstream_socket(live, str(token.id))
    assert recorded["socket"]["messages"] == []
    assert {row.error_code for row in await rows(token, 1)} == {"model_not_allowed"}


@pytest.mark.parametrize(
    ("response", "code"),
    [
        ({"model": "gpt-4o"}, "model_not_allowed"),
        ({}, "model_not_allowed"),
        ({"model": "gpt-4o-mini", "max_output_tokens": 50}, "param_not_allowed"),
        ({"model": "gpt-4o-mini", "tools": [{"type": "web_search"}]}, "param_not_allowed"),
    ],
)
@talking
async def test_a_response_that_the_rules_do_not_allow_is_not_asked_for(
    live: LiveProxy, response: dict[str, Any], code: str
) -> None:
    parameters = [
        {"name": "max_output_tokens", "maximum": 40},
        {"name": "tools[].type", "forbidden_values": ["web_search"]},
    ]
    token, plain = await new_token(rules=MODELS | {"parameters": parameters})
    async with talk(live, plain, "/responses") as client:
        await client.say("response.create", input="Hi", model="gpt-4o-mini")
        await client.hear_until("response.completed")
        await client.say("response.create", input="Hi", **response)
        assert (await client.end())[0] == POLICY
    codes = {row.error_code for row in await rows(token, 2)}
    assert codes == {"", code}


@talking
async def test_what_a_shadow_rule_would_refuse_passes_and_is_noted(live: LiveProxy) -> None:
    token, plain = await new_token(rules={"models": ["gpt-4o"], "shadow": ["models"]})
    async with talk(live, plain) as client:
        await ask(client, "hello")
        await client.hear_until("response.done")
    connection = next(row for row in await rows(token, 2) if row.method == "GET")
    assert connection.shadow_refusals == "model_not_allowed"


@talking
async def test_rules_that_are_set_meanwhile_hold_for_the_next_event(live: LiveProxy) -> None:
    token, plain = await new_token()
    async with talk(live, plain, "/responses") as client:
        await client.say("response.create", input="Hi", model="gpt-4o")
        await client.hear_until("response.completed")
        change = AccessToken.objects.filter(pk=token.pk).aupdate
        await change(rules={"models": ["gpt-4o-mini"]}, updated_at=timezone.now())
        await sync_to_async(eventually)(lambda: _models(live, plain) == ["gpt-4o-mini"])
        await client.say("response.create", input="Hi", model="gpt-4o")
        assert (await client.end())[0] == POLICY


def _models(live: LiveProxy, plain: str) -> Any:
    return httpx.get(f"{live.url}/token", headers={"authorization": f"Bearer {plain}"}).json()["models"]


@sync_to_async
def set_rules(token: AccessToken, rules: dict[str, Any]) -> None:
    AccessToken.objects.filter(pk=token.pk).update(rules=rules, updated_at=timezone.now())


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        ({"networks": ["10.0.0.0/8"]}, "ip_not_allowed"),
        ({"endpoints": ["chat"]}, "endpoint_not_allowed"),
        ({"models": ["gpt-4o"]}, "model_not_allowed"),
    ],
)
@talking
async def test_rules_that_do_not_allow_an_open_socket_any_more_end_it(
    live: LiveProxy, rules: dict[str, Any], code: str
) -> None:
    token, plain = await new_token()
    async with talk(live, plain) as client:
        await client.hear()
        await set_rules(token, rules)
        close_code, reason = await client.end()
    assert close_code == POLICY
    assert reason.startswith(f"{code}: ")


@talking
async def test_rules_that_allow_an_open_socket_leave_it_open(live: LiveProxy) -> None:
    token, plain = await new_token()
    async with talk(live, plain) as client:
        await client.hear()
        await set_rules(token, {"models": ["gpt-realtime"]})
        await sync_to_async(eventually)(lambda: _models(live, plain) == ["gpt-realtime"])
        await ask(client, "hello")
        await client.hear_until("response.done")


@talking
async def test_a_message_beyond_the_rules_size_does_not_pass(live: LiveProxy) -> None:
    token, plain = await new_token(rules={"max_body_bytes": 1000})
    async with talk(live, plain, headers={"x-marker": str(token.id)}) as client:
        await client.hear()
        await client.say("input_audio_buffer.append", audio="A" * 1000)
        close_code, reason = await client.end()
    assert close_code == POLICY
    assert reason.startswith("request_too_large: ")
    assert (await upstream_socket(live, str(token.id)))["socket"]["received"] == 0


@talking
async def test_a_turn_that_upstream_begins_lacks_what_turns_must_say(live: LiveProxy) -> None:
    """Server VAD."""
    rule = {"name": "max_output_tokens", "required": True}
    _, plain = await new_token(rules={"parameters": [rule]})
    async with talk(live, plain, vad=1) as client:
        await client.say("session.update", session={"max_output_tokens": 9})
        await client.say("input_audio_buffer.append", audio="AAAA" * 100)
        await client.hear_until("response.done")
        await client.say("session.update", session={"max_output_tokens": None})
        await client.say("input_audio_buffer.append", audio="AAAA" * 100)
        assert (await client.end())[1].startswith("param_not_allowed: ")


REQUIRED = {"parameters": [{"name": "max_output_tokens", "required": True, "maximum": 10}]}


@talking
async def test_what_turns_must_say_is_not_set_by_a_change_that_upstream_refuses(live: LiveProxy) -> None:
    _, plain = await new_token(rules=REQUIRED)
    async with talk(live, plain, chunks=50) as client:
        await client.say("session.update", session={"model": "other", "max_output_tokens": 10})
        await client.say("response.create")  # before upstream has answered
        assert (await client.end())[1].startswith("param_not_allowed: ")


@talking
async def test_what_turns_must_say_may_be_set_without_waiting_for_upstream(live: LiveProxy) -> None:
    _, plain = await new_token(rules=REQUIRED)
    async with talk(live, plain, chunks=50) as client:
        await client.say("session.update", session={"max_output_tokens": 10})
        await client.say("response.create", response={"output_modalities": ["text"]})
        done = await client.hear_until("response.done")
    assert done["response"]["usage"]["output_tokens"] == 10


@pytest.mark.parametrize(
    ("path", "turn"),
    [
        ("/responses", {"model": "gpt-4o-mini", "input": "x", "response": {"max_output_tokens": 3}}),
        ("/realtime?model=gpt-realtime", {"max_output_tokens": 3, "response": {}}),
    ],
)
@talking
async def test_what_turns_must_say_is_said_where_upstream_reads_it(
    live: LiveProxy, path: str, turn: dict[str, Any]
) -> None:
    token, plain = await new_token(rules=REQUIRED)
    async with talk(live, plain, path) as client:
        await client.say("response.create", **turn)
        assert (await client.end())[1].startswith("param_not_allowed: ")
    assert {row.error_code for row in await rows(token, 1)} == {"param_not_allowed"}


@talking
async def test_rules_that_are_set_meanwhile_hold_for_what_was_set_before(live: LiveProxy) -> None:
    token, plain = await new_token()
    async with talk(live, plain) as client:
        await client.say("session.update", session={"max_output_tokens": 900})
        await client.hear_until("session.updated")
        parameters = [{"name": "max_output_tokens", "maximum": 100}]
        await set_rules(token, {"models": ["gpt-realtime"], "parameters": parameters})
        await sync_to_async(eventually)(lambda: _models(live, plain) == ["gpt-realtime"])
        await client.say("response.create")
        assert (await client.end())[1].startswith("param_not_allowed: ")


@talking
async def test_rules_that_are_set_meanwhile_hold_for_what_is_written_down(live: LiveProxy) -> None:
    token, plain = await new_token()
    transcription = {"model": "gpt-4o-transcribe"}
    async with talk(live, plain) as client:
        await client.say("session.update", session={"audio": {"input": {"transcription": transcription}}})
        await client.hear_until("session.updated")
        await set_rules(token, {"models": ["gpt-realtime"]})
        await sync_to_async(eventually)(lambda: _models(live, plain) == ["gpt-realtime"])
        await client.say("input_audio_buffer.append", audio="AAAA" * 100)
        await client.say("input_audio_buffer.commit")
        assert (await client.end())[1].startswith("model_not_allowed: ")
    turn = next(row for row in await rows(token, 2) if row.method == "TURN")
    assert (turn.outcome, turn.model) == ("cut", "gpt-4o-transcribe")
    assert turn.cost_microusd
