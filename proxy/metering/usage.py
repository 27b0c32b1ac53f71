"""The model tokens that an answer reports, whichever of OpenAI's shapes it uses."""

from math import ceil
from typing import Any

import msgspec

MAX_COUNT = 10**10
"""Of model tokens: more than the largest batch has. A number beyond it is nonsense, and its cost would be."""
_NULL = msgspec.Raw(b"null")


class _Reported(msgspec.Struct):
    """`usage` as chat/completions and runs (prompt/completion), or responses, images, audio and the realtime
    API (input/output) write it. Accepted and rejected predictions are among the output tokens already.

    What has another type than it should is taken for absent: it loses nothing but itself.
    """

    prompt_tokens: Any = None
    completion_tokens: Any = None
    input_tokens: Any = None
    output_tokens: Any = None
    prompt_tokens_details: Any = None
    completion_tokens_details: Any = None
    input_tokens_details: Any = None
    output_tokens_details: Any = None
    input_token_details: Any = None
    """As transcriptions and the realtime API spell it."""
    output_token_details: Any = None
    seconds: Any = None
    """Of audio: what some transcriptions are charged by, in place of model tokens."""


class _Response(msgspec.Struct):
    model: Any = None
    service_tier: Any = None
    usage: msgspec.Raw = _NULL


class _Answer(_Response):
    """A JSON answer, or one event of a stream; an event of `responses` carries its response inside."""

    response: msgspec.Raw = _NULL


class Usage(msgspec.Struct, frozen=True):
    """Model tokens. None: not reported."""

    model: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cache_write_tokens: int | None = None
    audio_input_tokens: int | None = None
    audio_output_tokens: int | None = None
    service_tier: str = ""
    image_input_tokens: int | None = None
    image_output_tokens: int | None = None
    audio_seconds: float | None = None
    cached_audio_tokens: int | None = None
    """Of the cached ones; only the realtime API tells."""


_answers = msgspec.json.Decoder(_Answer)
_responses = msgspec.json.Decoder(_Response)
_reports = msgspec.json.Decoder(_Reported)


def read_usage(document: bytes | bytearray | memoryview) -> Usage | None:
    """The usage in a JSON document; None if it is not JSON, not of a known shape, or reports none."""
    try:
        answer = _answers.decode(document)
        is_inside = bytes(answer.response)[:1] == b"{"
        found = _responses.decode(answer.response) if is_inside else answer
        return _usage_of(found, _reports.decode(found.usage)) if bytes(found.usage) != b"null" else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def read_model(document: bytes) -> str:
    """The model that a JSON document names, or its `response`; empty if none."""
    try:
        answer = _answers.decode(document)
        is_inside = bytes(answer.response)[:1] == b"{"
        return _text((_responses.decode(answer.response) if is_inside else answer).model)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def _usage_of(found: _Response, reported: _Reported) -> Usage | None:
    input_tokens = _either(_count(reported.prompt_tokens), _count(reported.input_tokens))
    output_tokens = _either(_count(reported.completion_tokens), _count(reported.output_tokens))
    seconds = _seconds(reported.seconds)
    if output_tokens is None and (reported.completion_tokens, reported.output_tokens) != (None, None):
        return None  # no count, so how much there was is not known
    if input_tokens is None and output_tokens is None and seconds is None:
        return None
    input_details = _details(
        reported.prompt_tokens_details, reported.input_tokens_details, reported.input_token_details
    )
    output_details = _details(
        reported.completion_tokens_details, reported.output_tokens_details, reported.output_token_details
    )
    return Usage(
        model=_text(found.model),
        service_tier=_text(found.service_tier),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_tokens=_count(input_details.get("cached_tokens")),
        reasoning_tokens=_count(output_details.get("reasoning_tokens")),
        cache_write_tokens=_count(input_details.get("cache_write_tokens")),
        audio_input_tokens=_count(input_details.get("audio_tokens")),
        audio_output_tokens=_count(output_details.get("audio_tokens")),
        image_input_tokens=_count(input_details.get("image_tokens")),
        image_output_tokens=_count(output_details.get("image_tokens")),
        audio_seconds=seconds,
        cached_audio_tokens=_count(_details(input_details.get("cached_tokens_details")).get("audio_tokens")),
    )


def _either(chat: int | None, responses: int | None) -> int | None:
    return chat if chat is not None else responses


def _count(value: Any) -> int | None:
    """Of model tokens, rounded up."""
    number = _number(value)
    return ceil(number) if number is not None and 0 <= number <= MAX_COUNT else None


def _seconds(value: Any) -> float | None:
    number = _number(value)
    return float(number) if number is not None and 0 <= number <= 2**31 else None


def _number(value: Any) -> int | float | None:
    """Also where it is written as a text."""
    if value is None or type(value) is int:  # as almost always, and converting costs microseconds
        return value
    try:
        return msgspec.convert(value, int | float, strict=False)
    except msgspec.ValidationError:
        return None


def _details(*values: Any) -> dict[str, Any]:
    """The first that are there."""
    return next((value for value in values if isinstance(value, dict) and value), {})


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
