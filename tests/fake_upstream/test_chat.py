import msgspec
import pytest
from aiohttp import ClientSession

from .upstream import CHAT, Sdk, Upstream

MESSAGES = CHAT["messages"]


async def test_a_chat_is_answered_with_its_usage(client: Sdk) -> None:
    completion = await client.chat.completions.create(model="gpt-4o", messages=MESSAGES)

    assert completion.model == "gpt-4o-2024-08-06"
    assert completion.choices[0].message.content == "All tokens wither in time; a café serves"
    assert completion.usage.prompt_tokens == 3
    assert completion.usage.completion_tokens == 8
    assert completion.usage.completion_tokens_details.reasoning_tokens == 0
    assert completion._request_id.startswith("req_")


async def test_effort_costs_reasoning_tokens(client: Sdk) -> None:
    completion = await client.chat.completions.create(
        model="o3", messages=MESSAGES, reasoning_effort="low", n=2
    )

    assert len(completion.choices) == 2
    assert completion.usage.completion_tokens_details.reasoning_tokens == 16
    assert completion.usage.completion_tokens == 2 * 8 + 16


async def test_a_long_prompt_is_partly_cached(client: Sdk) -> None:
    content = [{"type": "text", "text": "word " * 1100}]

    completion = await client.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": content}]
    )

    assert completion.usage.prompt_tokens == 1100
    assert completion.usage.prompt_tokens_details.cached_tokens == 1024


async def test_what_is_thought_counts_towards_max_tokens(client: Sdk) -> None:
    completion = await client.chat.completions.create(
        model="o3", messages=MESSAGES, reasoning_effort="medium", max_completion_tokens=66
    )

    assert completion.usage.completion_tokens == 66
    assert completion.usage.completion_tokens_details.reasoning_tokens == 64


async def test_max_tokens_can_be_ignored(client: Sdk) -> None:
    completion = await client.chat.completions.create(
        model="gpt-4o", messages=MESSAGES, max_tokens=2, extra_headers={"x-fake-ignore-limits": "1"}
    )

    assert completion.usage.completion_tokens == 8


async def test_max_tokens_shortens_the_answer(client: Sdk) -> None:
    completion = await client.chat.completions.create(model="gpt-4o", messages=MESSAGES, max_tokens=2)

    assert completion.choices[0].finish_reason == "length"
    assert completion.choices[0].message.content == "All tokens"


async def test_a_stream_says_what_the_whole_answer_says(client: Sdk) -> None:
    stream = await client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)
    chunks = [chunk async for chunk in stream]

    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == "All tokens wither in time; a café serves"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert len(chunks) == 1 + 8 + 1


async def test_a_stream_without_include_usage_never_mentions_usage(upstream: Upstream) -> None:
    response = await upstream.chat(stream=True)
    body = await response.read()

    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert b"usage" not in body
    assert body.endswith(b"data: [DONE]\n\n")


async def test_include_usage_adds_null_to_each_chunk_and_one_chunk_more(upstream: Upstream) -> None:
    asked = msgspec.json.encode({**CHAT, "stream": True, "stream_options": {"include_usage": True}})
    response = await upstream.post("chat/completions", asked)
    *events, done, rest = (await response.read()).split(b"\n\n")

    chunks = [msgspec.json.decode(event.removeprefix(b"data: ")) for event in events]
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 11
    assert (done, rest) == (b"data: [DONE]", b"")


async def test_the_same_request_gets_the_same_bytes_and_another_gets_others(upstream: Upstream) -> None:
    first, second = await upstream.chat(), await upstream.chat()
    other = await upstream.post("chat/completions", msgspec.json.encode({**CHAT, "n": 2}))

    assert await first.read() == await second.read()
    assert first.headers["x-request-id"] == second.headers["x-request-id"]
    assert first.headers["x-request-id"] != other.headers["x-request-id"]


async def test_headers_are_those_of_openai_duplicates_included(upstream: Upstream) -> None:
    response = await upstream.chat()

    assert response.headers["content-type"] == "application/json"
    assert response.headers["openai-version"] == "2020-10-01"
    assert response.headers["openai-organization"]
    assert response.headers["openai-processing-ms"].isdigit()
    assert len([name for name in response.headers if name.startswith("x-ratelimit-")]) == 6
    assert response.headers.getall("x-fake-duplicate") == ["one", "two"]
    assert len(response.headers.getall("set-cookie")) == 2


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"model": "gpt-4o"', None),
        (b"", None),
        (b'{"messages": []}', None),
        (b'{"model": "gpt-4o"}', "messages"),
        (b'{"model": "gpt-4o", "messages": "hello"}', "messages"),
        (b'{"model": 4, "messages": []}', "model"),
    ],
)
async def test_a_bad_body_is_refused_in_the_shape_of_openai(
    upstream: Upstream, body: bytes, param: str | None
) -> None:
    response = await upstream.post("chat/completions", body)
    answer = await response.json()

    assert response.status == 400
    assert sorted(answer["error"]) == ["code", "message", "param", "type"]
    assert answer["error"]["type"] == "invalid_request_error"
    assert answer["error"]["param"] == param


@pytest.mark.parametrize(
    "authorization", [None, "Bearer", "Basic sk-x", "Bearer pk-1", "Bearer sk-revoked-1"]
)
async def test_a_bad_key_is_refused(upstream: Upstream, authorization: str | None) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    async with ClientSession(headers=headers) as session:
        response = await session.post(f"{upstream.base_url}/chat/completions", json=CHAT)
        answer = await response.json()

    assert response.status == 401
    assert answer["error"]["code"] == "invalid_api_key"


async def test_a_refused_key_is_masked(upstream: Upstream) -> None:
    async with ClientSession(headers={"Authorization": "Bearer sk-revoked-0123456789"}) as session:
        response = await session.get(f"{upstream.base_url}/models")
        answer = await response.json()

    assert "sk-revok*********6789" in answer["error"]["message"]


@pytest.mark.parametrize(("key", "status"), [("sk-test", 200), ("sk-revoked-1", 401), ("other", 401)])
async def test_a_key_may_come_as_azure_wants_it(upstream: Upstream, key: str, status: int) -> None:
    url = upstream.base_url.removesuffix("/v1") + "/openai/v1/chat/completions"
    async with ClientSession(headers={"api-key": key}) as session:
        response = await session.post(url, json=CHAT)

    assert response.status == status
