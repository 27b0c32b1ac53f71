"""Turns of WebSocket conversations: admitted, limited, priced and recorded, each like a request."""

import base64
import json

import httpx
import pytest
from asgiref.sync import sync_to_async

from projects.models import UnpricedPolicy
from tests.e2e.test_websocket import refusal
from tests.factories import ProjectFactory
from tests.live import LiveProxy, eventually_async
from tests.sockets import ask, new_token, rows, talk, talking, upstream_socket

AUDIO = base64.b64encode(b"\0" * 9600).decode()


@talking
async def test_a_turn_beyond_a_limit_is_an_error_event_and_does_not_pass(live: LiveProxy) -> None:
    token, plain = await new_token(max_requests=1)
    async with talk(live, plain, headers={"x-marker": str(token.id)}) as client:
        await ask(client, "one")
        await client.hear_until("response.done")
        await client.say("response.create", event_id="mine")
        error = await client.hear_until("error")
        await client.say("session.update", session={"instructions": "go on"})
        await client.hear_until("session.updated")

    assert error["error"]["code"] == "request_limit_reached"
    assert (error["error"]["type"], error["error"]["event_id"]) == ("insufficient_quota", "mine")
    assert error["status"] == 429
    seen = await upstream_socket(live, str(token.id))
    kinds = [json.loads(message["text"])["type"] for message in seen["socket"]["messages"]]
    assert kinds == ["conversation.item.create", "response.create", "session.update"]
    outcomes = [(row.outcome, row.error_code, row.is_admitted) for row in (await rows(token, 3))[1:]]
    assert outcomes == [("completed", "", True), ("refused", "request_limit_reached", False)]


@talking
async def test_a_turn_that_may_cost_more_than_is_left_does_not_pass(live: LiveProxy) -> None:
    token, plain = await new_token(total_budget_microusd=20_000)
    async with talk(live, plain) as client:
        await ask(client, "one", max_output_tokens=4096)
        refused = await client.hear_until("error")
        await ask(client, "one", max_output_tokens=8)
        await client.hear_until("response.done")
    assert refused["error"]["code"] == "budget_exceeded"
    assert [row.outcome for row in await rows(token, 3)] == ["completed", "refused", "completed"]


@talking
async def test_a_used_up_budget_ends_the_conversation_and_opens_none(live: LiveProxy) -> None:
    flat = {"unpriced_policy": UnpricedPolicy.FLAT, "flat_price_microusd": 10}
    project = await sync_to_async(ProjectFactory.create)(**flat)
    _, plain = await new_token(project=project, total_budget_microusd=20)
    path = "/realtime?model=nobody-knows-it"
    async with talk(live, plain, path) as client:
        for _ in range(2):
            await ask(client, "hello")
            await client.hear_until("response.done")
        assert await client.end() == (1008, "budget_exceeded: The budget of this access token is used up.")
    answer = await refusal(live.base_url + path, plain)
    assert (answer["status"], answer["error"]["code"]) == (429, "budget_exceeded")


@talking
async def test_what_is_heard_is_answered_within_limits(live: LiveProxy) -> None:
    """Server VAD: upstream begins turns of its own."""
    token, plain = await new_token(max_requests=2)
    async with talk(live, plain, vad=1) as client:
        for _ in range(2):
            await client.say("input_audio_buffer.append", audio=AUDIO)
            await client.hear_until("response.done")
        await client.say("input_audio_buffer.append", audio=AUDIO)
        close_code, reason = await client.end()

    assert close_code == 1008
    assert reason.startswith("request_limit_reached: ")
    turns = (await rows(token, 4))[1:]
    assert [(turn.outcome, turn.is_admitted) for turn in turns] == [
        ("completed", True),
        ("completed", True),
        ("cut", True),
    ]
    assert [turn.audio_input_tokens for turn in turns] == [2, 20, None]
    assert turns[2].usage_source == "estimated"
    assert turns[2].cost_microusd


@talking
async def test_what_is_written_down_is_priced_by_its_own_model(live: LiveProxy) -> None:
    token, plain = await new_token()
    async with talk(live, plain, "/realtime?intent=transcription") as client:
        transcription = {"model": "gpt-4o-transcribe"}
        await client.say("session.update", session={"audio": {"input": {"transcription": transcription}}})
        await client.say("input_audio_buffer.append", audio=AUDIO)
        await client.say("input_audio_buffer.commit")
        await client.hear_until("conversation.item.input_audio_transcription.completed")

    turn = (await rows(token, 2))[1]
    assert (turn.model, turn.input_tokens, turn.audio_input_tokens) == ("gpt-4o-transcribe", 2, 2)
    assert (turn.output_tokens, turn.cost_source, turn.is_admitted) == (3, "price", True)


@talking
async def test_what_is_written_down_beyond_a_rate_is_charged_also_where_no_turn_follows(
    live: LiveProxy,
) -> None:
    token, plain = await new_token(max_requests_per_minute=1, total_budget_microusd=10_000_000)
    async with talk(live, plain, "/realtime?intent=transcription") as client:
        transcription = {"model": "gpt-4o-transcribe"}
        await client.say("session.update", session={"audio": {"input": {"transcription": transcription}}})
        for _ in range(3):
            await client.say("input_audio_buffer.append", audio=AUDIO)
            await client.say("input_audio_buffer.commit")
            await client.hear_until("conversation.item.input_audio_transcription.completed")
    turns = (await rows(token, 4))[1:]
    costs = [turn.cost_microusd or 0 for turn in turns]
    assert all(costs)
    answer = await sync_to_async(httpx.get)(f"{live.url}/token", headers={"authorization": f"Bearer {plain}"})
    (budget,) = answer.json()["budgets"]
    assert round(float(budget["spent_usd"]) * 1_000_000) == sum(costs)


@talking
async def test_a_turn_is_priced_by_the_model_that_upstream_uses(live: LiveProxy) -> None:
    """It refuses to change a session's model, and the client goes on before it has heard of that."""
    token, plain = await new_token(total_budget_microusd=10_000_000)
    async with talk(live, plain) as client:
        await client.say("session.update", session={"model": "nobody-knows-it"})
        await ask(client, "hello")
        await client.hear_until("error")
        await client.hear_until("response.done")
        await ask(client, "hello again")
        await client.hear_until("response.done")
    turns = (await rows(token, 3))[1:]
    assert [(turn.model, turn.cost_source) for turn in turns] == [("gpt-realtime", "price")] * 2


@talking
async def test_a_query_of_the_responses_api_names_no_model(live: LiveProxy) -> None:
    """Upstream looks at each turn."""
    token, plain = await new_token(rules={"models": ["gpt-4o-mini"]})
    async with talk(live, plain, "/responses?model=gpt-4o-mini") as client:
        await client.say("response.create", input="hello")
        assert (await client.end())[0] == 1008
    assert {row.error_code for row in await rows(token, 1)} == {"model_not_allowed"}


@talking
async def test_turns_without_a_model_are_refused_where_limits_depend_on_it(live: LiveProxy) -> None:
    token, plain = await new_token(total_budget_microusd=10_000_000)
    answer = await refusal(live.base_url + "/realtime", plain)
    assert (answer["status"], answer["error"]["param"]) == (400, "model")
    async with talk(live, plain, "/responses?model=gpt-4o-mini") as client:
        await client.say("response.create", input="hello", event_id="mine")
        error = await client.hear_until("error")
        assert (error["status"], error["error"]["param"], error["error"]["event_id"]) == (
            400,
            "model",
            "mine",
        )
    assert [row.outcome for row in await rows(token, 3)] == ["refused", "completed", "refused"]


@talking
async def test_a_turn_that_upstream_refuses_is_free(live: LiveProxy) -> None:
    token, plain = await new_token(max_concurrent_requests=1)
    async with talk(live, plain, "/responses") as client:
        for _ in range(2):
            await client.say("response.create", input="no model is named")
            error = await client.hear_until("error")
            assert error["error"]["message"] == "you must provide a model parameter"
    turns = (await rows(token, 3))[1:]
    assert [(turn.cost_source, turn.cost_microusd, turn.status) for turn in turns] == [("free", 0, 400)] * 2


@talking
async def test_a_model_without_a_price_is_refused_where_the_project_says_so(live: LiveProxy) -> None:
    project = await sync_to_async(ProjectFactory.create)(unpriced_policy=UnpricedPolicy.REFUSE)
    _, plain = await new_token(project=project)
    async with talk(live, plain, "/realtime?model=nobody-knows-it") as client:
        await ask(client, "hello")
        assert (await client.hear_until("error"))["error"]["code"] == "model_unpriced"


@talking
async def test_concurrent_turns_are_counted_and_so_are_open_sockets(live: LiveProxy) -> None:
    token, plain = await new_token(max_concurrent_requests=1)
    async with talk(live, plain, chunk_delay_ms=20, chunks=10) as client:
        await ask(client, "hello")
        await client.say("response.create")
        assert (await client.hear_until("error"))["error"]["code"] == "rate_limit_exceeded"
        await client.hear_until("response.done")
        await ask(client, "hello again")
        await client.hear_until("response.done")
        refused = await refusal(f"{live.base_url}/realtime?model=gpt-realtime", plain)
        assert (refused["status"], refused["error"]["code"]) == (429, "rate_limit_exceeded")
    await rows(token, 4)
    async with talk(live, plain) as client:
        assert (await client.hear())["type"] == "session.created"

    def limited() -> list[str]:
        lines = [line for line in live.log().splitlines() if str(token.id) in line]
        return [line for line in lines if '"limit_reached":"concurrent_requests"' in line]

    await eventually_async(lambda: len(limited()) == 2)


@pytest.mark.parametrize(
    "frame",
    [
        '{"type": "session.update", "session": {"model": "a", "model": "b"}}',
        '{"type": "input_text", "type": "session.update", "session": {"model": "a"}}',
        '{"type": "response.create", "response": {}, "response": {"model": "b"}}',
        '{"type": "session.update", "session": {"mod\\u0065l": "a", "model": "b"}}',
        '{"type": "session\\u002eupdate", "session": {"model": 7}}',
        '{"type": "response.create"',
        '\ufeff{"type": "response.create"}',
        '["response.create"]',
        '{"type":"response.create"}'.encode("utf-16"),
        '{"type":"response.create"}'.encode("utf-32-le"),
        b'{"type":"response.create","x":"\xff"}',
    ],
)
@talking
async def test_what_must_be_seen_and_cannot_be_read_is_refused(live: LiveProxy, frame: str | bytes) -> None:
    token, plain = await new_token()
    async with talk(live, plain, headers={"x-marker": str(token.id)}) as client:
        await client.hear()
        if isinstance(frame, str):
            await client.socket.send_str(frame)
        else:
            await client.socket.send_bytes(frame)
        close_code, reason = await client.end()

    assert close_code == 1008
    assert reason.startswith("bad_request: ")
    assert (await upstream_socket(live, str(token.id)))["socket"]["received"] == 0


@talking
async def test_a_turn_that_takes_back_its_sessions_bound_is_held_as_unbounded(live: LiveProxy) -> None:
    _, plain = await new_token(total_budget_microusd=20_000)
    async with talk(live, plain) as client:
        await client.say("session.update", session={"max_output_tokens": 1})
        await client.hear_until("session.updated")
        await client.say("response.create", response={"max_output_tokens": "inf"})
        error = await client.hear_until("error")
        assert error["error"]["code"] == "budget_exceeded"
        await client.say("response.create")
        await client.hear_until("response.done")


@talking
async def test_a_turn_that_was_refused_is_not_what_the_next_one_reads(live: LiveProxy) -> None:
    _, plain = await new_token(total_budget_microusd=20_000)
    async with talk(live, plain) as client:
        await client.say("response.create", response={"max_output_tokens": 8, "instructions": "x" * 100_000})
        error = await client.hear_until("error")
        assert error["error"]["code"] == "budget_exceeded"
        await client.say("response.create", response={"max_output_tokens": 8})
        await client.hear_until("response.done")


@talking
async def test_a_turn_of_a_session_cannot_name_another_model(live: LiveProxy) -> None:
    token, plain = await new_token(total_budget_microusd=10_000_000)
    async with talk(live, plain) as client:
        await client.say("response.create", response={"model": "nobody-knows-it"})
        error = await client.hear_until("error")
        assert (error["status"], error["error"]["param"]) == (400, "model")
        await ask(client, "hello", model="gpt-realtime")
        await client.hear_until("response.done")
    turns = (await rows(token, 3))[1:]
    assert [(turn.outcome, turn.cost_source) for turn in turns] == [
        ("refused", "free"),
        ("completed", "price"),
    ]


@talking
async def test_a_connection_has_so_many_turns_open_and_no_more(live: LiveProxy) -> None:
    _, plain = await new_token()
    async with talk(live, plain, "/responses", chunk_delay_ms=600_000) as client:
        for _ in range(65):
            await client.say("response.create", model="gpt-4o-mini", input="x")
        error = await client.hear_until("error")
    assert (error["status"], error["error"]["code"]) == (429, "rate_limit_exceeded")
