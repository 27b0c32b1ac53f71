"""Usage is read from the answers of every endpoint that reports it, whole and as streams."""

from typing import Any

import httpx
import pytest

from tests.factories import issue_token
from tests.live import LiveProxy, eventually
from usage.models import UsageRecord

IMAGE = {"model": "gpt-image-1", "prompt": "A red boat"}
SPEECH = {"model": "gpt-4o-mini-tts", "input": "Good day", "voice": "alloy"}
SOUND = {"file": ("a.wav", b"RIFF")}
LARGE = {"x-fake-size-bytes": str(6 * 2**20)}


@pytest.mark.parametrize(
    ("path", "request_", "reported"),
    [
        ("/chat/completions", {"json": {"model": "gpt-4o", "messages": []}}, {"output_tokens": 8}),
        ("/responses", {"json": {"model": "gpt-4o", "input": "Hi"}}, {"output_tokens": 8}),
        (
            "/responses",
            {"json": {"model": "gpt-4o", "input": "Hi", "max_output_tokens": 3, "stream": True}},
            {"output_tokens": 3},
        ),
        ("/images/generations", {"json": IMAGE}, {"input_tokens": 3, "image_output_tokens": 272}),
        (
            "/images/generations",
            {"json": {**IMAGE, "stream": True, "partial_images": 2}},
            {"output_tokens": 272, "image_output_tokens": 272},
        ),
        ("/images/generations", {"json": IMAGE, "headers": LARGE}, {"image_output_tokens": 272}),
        (
            "/audio/speech",
            {"json": {**SPEECH, "stream_format": "sse"}},
            {"input_tokens": 2, "output_tokens": 8},
        ),
        (
            "/audio/transcriptions",
            {"data": {"model": "gpt-4o-transcribe"}, "files": SOUND},
            {"input_tokens": 30, "audio_input_tokens": 30, "output_tokens": 8},
        ),
        (
            "/audio/transcriptions",
            {"data": {"model": "gpt-4o-transcribe", "stream": "true"}, "files": SOUND},
            {"input_tokens": 30, "audio_input_tokens": 30, "output_tokens": 8},
        ),
        (
            "/audio/transcriptions",
            {"data": {"model": "whisper-1"}, "files": SOUND},
            {"input_tokens": None, "audio_seconds": 3.0, "cost_microusd": None},
        ),
        (
            "/embeddings",
            {"json": {"model": "text-embedding-3-large", "input": ["a word"] * 100}},
            {"input_tokens": 200, "output_tokens": None},
        ),
        (
            "/embeddings",
            {"json": {"model": "text-embedding-3-small", "input": "a word"}, "headers": LARGE},
            {"input_tokens": 2, "output_tokens": None},
        ),
    ],
)
def test_what_upstream_reports_is_in_the_ledger(
    live: LiveProxy, path: str, request_: dict[str, Any], reported: dict[str, Any]
) -> None:
    token, plain = issue_token()
    headers = {"authorization": f"Bearer {plain}", **request_.get("headers", {})}
    answer = httpx.post(live.base_url + path, timeout=30, **{**request_, "headers": headers})
    assert answer.status_code == 200, answer.text

    record = eventually(lambda: UsageRecord.objects.filter(token=token).first())
    assert (record.outcome, record.usage_source) == ("completed", "upstream")
    assert {field: getattr(record, field) for field in reported} == reported


@pytest.mark.parametrize(
    ("model", "seen"),
    [("gpt-4o-mini-tts", ("estimated", "price", 12)), ("tts-1", ("estimated", "unpriced", 12))],
)
def test_binary_speech_is_estimated_with_a_price_or_without(
    live: LiveProxy, model: str, seen: tuple[str, str, int | None]
) -> None:
    token, plain = issue_token()
    headers = {"authorization": f"Bearer {plain}"}
    body = {**SPEECH, "model": model}
    httpx.post(f"{live.base_url}/audio/speech", json=body, headers=headers).raise_for_status()

    record = eventually(lambda: UsageRecord.objects.filter(token=token).first())
    assert (record.usage_source, record.cost_source, record.audio_output_tokens) == seen
