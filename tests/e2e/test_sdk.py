"""The official SDK, unchanged but for base_url and api_key, against the real server."""

import hashlib
import io
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path

import openai
import pytest
from asgiref.sync import sync_to_async
from django.db.models import QuerySet
from django.utils import timezone
from openai import AsyncOpenAI, OpenAI

from llm_proxy_site.fake_upstream import pattern_sha256
from projects.models import Project
from tests.factories import DailySpendFactory, issue_token
from tests.live import LiveProxy, eventually
from tokens.format import digest
from tokens.models import AccessToken
from usage.models import UsageRecord

MESSAGES = [{"role": "user", "content": "Say something short."}]


@pytest.fixture
def client(live: LiveProxy) -> Iterator[OpenAI]:
    _, plain = issue_token()
    with OpenAI(base_url=live.base_url, api_key=plain, max_retries=0) as client:
        yield client


@pytest.fixture
async def async_client(live: LiveProxy) -> AsyncIterator[AsyncOpenAI]:
    _, plain = await sync_to_async(issue_token)()
    async with AsyncOpenAI(base_url=live.base_url, api_key=plain, max_retries=0) as client:
        yield client


def test_chat_is_answered_and_metered(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)

    assert answer.choices[0].message.content
    record = _record(client)
    assert (record.outcome, record.status, record.usage_source) == ("completed", 200, "upstream")
    assert record.model == answer.model
    assert record.input_tokens == answer.usage.prompt_tokens
    assert record.output_tokens == answer.usage.completion_tokens
    assert record.endpoint == "/chat/completions"
    assert record.upstream_request_id == answer._request_id
    assert record.upstream_processing_seconds is not None
    assert 0 < record.first_byte_seconds <= record.duration_seconds


def test_chat_streams_and_its_usage_is_read(client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model="gpt-4o-mini", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    record = _record(client)
    assert record.is_stream
    assert record.input_tokens == chunks[-1].usage.prompt_tokens
    assert record.output_tokens == chunks[-1].usage.completion_tokens


def test_responses_are_answered_and_streamed(client: OpenAI) -> None:
    answer = client.responses.create(model="gpt-4o-mini", input="Hello there")
    with client.responses.stream(model="gpt-4o-mini", input="Hello there") as stream:
        final = stream.get_final_response()

    assert answer.output_text == final.output_text != ""
    records = eventually(lambda: list(_records(client)) if _records(client).count() == 2 else None)
    assert {record.input_tokens for record in records} == {answer.usage.input_tokens}
    assert {record.output_tokens for record in records} == {answer.usage.output_tokens}


def test_legacy_completions_embeddings_and_models_are_answered(client: OpenAI) -> None:
    assert client.completions.create(model="gpt-3.5-turbo-instruct", prompt="Hi").choices[0].text
    assert client.embeddings.create(model="text-embedding-3-small", input="Hi").data[0].embedding
    assert client.models.list().data
    assert client.models.retrieve("gpt-4o-mini").id == "gpt-4o-mini"


def test_speech_is_written_to_a_file(client: OpenAI, tmp_path: Path) -> None:
    file = tmp_path / "speech.mp3"
    with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="alloy", input="Hello", extra_headers={"x-fake-size-bytes": "300000"}
    ) as response:
        response.stream_to_file(file)

    assert hashlib.sha256(file.read_bytes()).hexdigest() == pattern_sha256(300_000)


def test_a_file_is_uploaded_and_downloaded(client: OpenAI) -> None:
    content = b"{}\n" * 100_000
    uploaded = client.files.create(file=("batch.jsonl", io.BytesIO(content)), purpose="batch")

    assert uploaded.bytes == len(content)
    downloaded = client.files.content("file-size-500000").read()
    assert hashlib.sha256(downloaded).hexdigest() == pattern_sha256(500_000)


async def test_the_async_client_chats_and_streams(async_client: AsyncOpenAI) -> None:
    answer = await async_client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    stream = await async_client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])

    assert text == answer.choices[0].message.content


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (409, openai.ConflictError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
def test_upstreams_errors_become_the_sdks_own(
    client: OpenAI, status: int, kind: type[openai.APIStatusError]
) -> None:
    with pytest.raises(kind) as caught:
        client.chat.completions.create(
            model="gpt-4o-mini", messages=MESSAGES, extra_headers={"x-fake-status": str(status)}
        )

    assert caught.value.status_code == status
    assert caught.value.request_id.startswith("req_")  # upstream's, untouched
    record = _record(client)
    assert (record.outcome, record.status) == ("completed", status)


def test_a_wrong_token_is_an_authentication_error(live: LiveProxy) -> None:
    client = OpenAI(base_url=live.base_url, api_key="sk-wt-wrong", max_retries=0)
    with pytest.raises(openai.AuthenticationError) as caught:
        client.models.list()

    assert caught.value.code == "invalid_api_key"
    assert caught.value.type == "invalid_request_error"


def _deactivate(token: AccessToken) -> None:
    Project.objects.filter(pk=token.project_id).update(is_active=False, deactivated_at=timezone.now())


def _nothing(token: AccessToken) -> None:
    pass


def _change(**fields: object) -> Callable[[AccessToken], object]:
    return lambda token: AccessToken.objects.filter(pk=token.pk).update(**fields)


def _spent(**limits: int) -> Callable[[AccessToken], object]:
    """A token with these limits that has made 5 requests for 5 micro-USD today."""

    def prepare(token: AccessToken) -> None:
        _change(**limits)(token)
        DailySpendFactory.create(subject=token, requests=5, cost_microusd=5)

    return prepare


def _idle(token: AccessToken) -> None:
    _change(idle_ttl=timedelta(minutes=1), created_at=timezone.now() - timedelta(hours=1))(token)


@pytest.mark.parametrize(
    ("prepare", "path", "kind", "code"),
    [
        (_nothing, "/organization/users", openai.NotFoundError, "endpoint_not_found"),
        (_deactivate, "/models", openai.PermissionDeniedError, "project_inactive"),
        (_change(is_active=False), "/models", openai.PermissionDeniedError, "token_inactive"),
        (_change(expires_at=timezone.now()), "/models", openai.AuthenticationError, "token_expired"),
        (_idle, "/models", openai.AuthenticationError, "token_expired"),
        (_spent(max_requests=5), "/models", openai.RateLimitError, "request_limit_reached"),
        (_spent(total_budget_microusd=5), "/models", openai.RateLimitError, "budget_exceeded"),
        (_spent(daily_budget_microusd=5), "/models", openai.RateLimitError, "budget_exceeded"),
        (_spent(weekly_budget_microusd=5), "/models", openai.RateLimitError, "budget_exceeded"),
        (_spent(monthly_budget_microusd=5), "/models", openai.RateLimitError, "budget_exceeded"),
        (
            lambda token: token.project.upstream_keys.all().delete(),
            "/models",
            openai.InternalServerError,
            "upstream_key_unavailable",
        ),
    ],
)
def test_our_refusals_become_the_sdks_own_and_are_not_retried(
    live: LiveProxy,
    prepare: Callable[[AccessToken], object],
    path: str,
    kind: type[openai.APIStatusError],
    code: str,
) -> None:
    token, plain = issue_token()
    prepare(token)
    client = OpenAI(base_url=live.base_url, api_key=plain)  # retries as it does by default
    with pytest.raises(kind) as caught:
        client.get(path, cast_to=object)

    assert caught.value.code == code
    eventually(lambda: _records(client).first())
    assert [record.error_code for record in _records(client)] == [code]


def _records(client: OpenAI) -> QuerySet[UsageRecord]:
    return UsageRecord.objects.filter(token__digest=digest(client.api_key))


def _record(client: OpenAI) -> UsageRecord:
    return eventually(lambda: _records(client).first())
