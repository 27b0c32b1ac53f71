"""The model tokens that an answer reports, whichever of OpenAI's shapes it uses."""

from typing import Annotated

import msgspec

# What a database column holds; a number beyond it is nonsense and so is the usage that names it.
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class _Details(msgspec.Struct):
    cached_tokens: _Count | None = None
    cache_write_tokens: _Count | None = None
    reasoning_tokens: _Count | None = None
    audio_tokens: _Count | None = None
    image_tokens: _Count | None = None


class _Reported(msgspec.Struct):
    """`usage` as chat/completions and runs (prompt/completion), or responses, images and audio (input/output)
    write it. Accepted and rejected predictions are among the output tokens already.
    """

    prompt_tokens: _Count | None = None
    completion_tokens: _Count | None = None
    input_tokens: _Count | None = None
    output_tokens: _Count | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None
    input_token_details: _Details | None = None
    """As transcriptions spell it."""
    seconds: Annotated[float, msgspec.Meta(ge=0, le=2**31)] | None = None
    """Of audio: what some transcriptions are charged by, in place of model tokens."""


class _Response(msgspec.Struct):
    model: str | None = None
    service_tier: str | None = None
    usage: _Reported | None = None


class _Answer(msgspec.Struct):
    """A JSON answer, or one event of a stream; an event of `responses` carries its response inside."""

    model: str | None = None
    service_tier: str | None = None
    usage: _Reported | None = None
    response: _Response | None = None


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


_decoder = msgspec.json.Decoder(_Answer, strict=False)


def read_usage(document: bytes | bytearray | memoryview) -> Usage | None:
    """The usage in a JSON document; None if it is not JSON, not of a known shape, or reports none."""
    try:
        answer = _decoder.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    found: _Answer | _Response = answer.response if answer.response is not None else answer
    if found.usage is None:
        return None
    reported = found.usage
    input_tokens = _either(reported.prompt_tokens, reported.input_tokens)
    output_tokens = _either(reported.completion_tokens, reported.output_tokens)
    if input_tokens is None and output_tokens is None and reported.seconds is None:
        return None
    input_details = (
        reported.prompt_tokens_details
        or reported.input_tokens_details
        or reported.input_token_details
        or _Details()
    )
    output_details = reported.completion_tokens_details or reported.output_tokens_details or _Details()
    return Usage(
        model=found.model or "",
        service_tier=found.service_tier or "",
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_tokens=input_details.cached_tokens,
        reasoning_tokens=output_details.reasoning_tokens,
        cache_write_tokens=input_details.cache_write_tokens,
        audio_input_tokens=input_details.audio_tokens,
        audio_output_tokens=output_details.audio_tokens,
        image_input_tokens=input_details.image_tokens,
        image_output_tokens=output_details.image_tokens,
        audio_seconds=reported.seconds,
    )


def _either(chat: int | None, responses: int | None) -> int | None:
    return chat if chat is not None else responses
