"""The official SDK holds conversations: with the fake upstream itself, and through the proxy."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from openai import AsyncOpenAI

from tests.live import LiveProxy
from tests.sockets import new_token, rows, talking

pytest.importorskip("websockets", reason="the SDK's extra `realtime` is not installed")


@asynccontextmanager
async def sdk(live: LiveProxy, *, directly: bool) -> AsyncIterator[tuple[AsyncOpenAI, Any]]:
    """A client, and the token that it uses; none if it talks to upstream itself."""
    token, plain = await new_token()
    base_url = live.upstream_url if directly else live.base_url
    key = "sk-upstream-direct" if directly else plain
    async with AsyncOpenAI(base_url=base_url, api_key=key) as client:
        yield client, None if directly else token


@pytest.mark.parametrize("directly", [True, False])
@talking
async def test_a_realtime_conversation(live: LiveProxy, directly: bool) -> None:
    async with (
        sdk(live, directly=directly) as (client, token),
        client.realtime.connect(model="gpt-realtime") as connection,
    ):
        said = []
        await connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        for question in ("How are you?", "And now?"):
            content = [{"type": "input_text", "text": question}]
            item: Any = {"type": "message", "role": "user", "content": content}
            await connection.conversation.item.create(item=item)
            await connection.response.create()
            async for event in connection:
                if event.type == "response.output_text.delta":
                    said.append(event.delta)
                if event.type == "response.done":
                    break
        await connection.input_audio_buffer.append(audio="AAAA")
        await connection.input_audio_buffer.commit()
        event = await connection.recv()

    assert event.type == "input_audio_buffer.committed"
    assert "".join(said) == 2 * "All tokens wither in time; a café serves"
    if token is not None:
        turns = (await rows(token, 3))[1:]
        assert [(turn.input_tokens, turn.output_tokens) for turn in turns] == [(3, 8), (13, 8)]


@pytest.mark.parametrize("directly", [True, False])
@talking
async def test_a_conversation_by_the_responses_api(live: LiveProxy, directly: bool) -> None:
    async with (
        sdk(live, directly=directly) as (client, token),
        client.responses.connect() as connection,
    ):
        await connection.response.create(model="gpt-4o", input="three short words")
        async for event in connection:
            if event.type == "response.completed":
                break
    assert event.response.output_text == "All tokens wither in time; a café serves"
    if token is not None:
        assert (await rows(token, 2))[1].input_tokens == 3


@talking
async def test_the_sdk_shows_why_it_is_refused(live: LiveProxy) -> None:
    from websockets.exceptions import ConnectionClosedError, InvalidStatus

    async with AsyncOpenAI(base_url=live.base_url, api_key="sk-wt-nonsense") as client:
        with pytest.raises(InvalidStatus) as raised:
            async with client.realtime.connect(model="gpt-realtime"):
                pass
    assert raised.value.response.status_code == 401
    assert b"invalid_api_key" in raised.value.response.body

    _, plain = await new_token()
    async with (
        AsyncOpenAI(base_url=live.base_url, api_key=plain) as client,
        client.realtime.connect(model="gpt-realtime") as connection,
    ):
        await connection.send_raw('{"type": "session.update", "type": "session.update"}')
        with pytest.raises(ConnectionClosedError) as closed:
            async for _ in connection:
                pass
    assert closed.value.rcvd.code == 1008
    assert closed.value.rcvd.reason == "bad_request: An event has two members named type."
