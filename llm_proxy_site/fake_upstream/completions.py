"""POST /v1/completions, the legacy endpoint, whole or as a stream."""

from collections.abc import Iterator

import msgspec

from .answers import CREATED, DONE, Answer, event, event_stream, json_answer
from .calls import Call
from .models import snapshot
from .words import count_words, text, words


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = False


class CompletionRequest(msgspec.Struct):
    model: str
    prompt: str | list[str | int | list[int]] | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None


_DECODER = msgspec.json.Decoder(CompletionRequest)


def create(call: Call) -> Answer:
    request = call.decode(_DECODER)
    if request.stream:
        return event_stream(_events(call, request))
    length, finish_reason = _length(call, request)
    return json_answer(
        {
            **_head(call, request),
            "choices": [_choice(text(length), finish_reason)],
            "usage": _usage(request, length),
        }
    )


def _events(call: Call, request: CompletionRequest) -> Iterator[bytes]:
    head = _head(call, request)
    include_usage = bool(request.stream_options and request.stream_options.include_usage)
    tail = {"usage": None} if include_usage else {}
    length, finish_reason = _length(call, request)
    for word in words(length):
        yield event({**head, "choices": [_choice(word)], **tail})
    yield event({**head, "choices": [_choice("", finish_reason)], **tail})
    if include_usage:
        yield event({**head, "choices": [], "usage": _usage(request, length)})
    yield DONE


def _head(call: Call, request: CompletionRequest) -> dict[str, object]:
    return {
        "id": call.make_id("cmpl-"),
        "object": "text_completion",
        "created": CREATED,
        "model": snapshot(request.model),
    }


def _choice(content: str, finish_reason: str | None = None) -> dict[str, object]:
    return {"text": content, "index": 0, "logprobs": None, "finish_reason": finish_reason}


def _length(call: Call, request: CompletionRequest) -> tuple[int, str]:
    length = call.faults.length(request.max_tokens)
    return length, "stop" if length == call.faults.chunks else "length"


def _usage(request: CompletionRequest, length: int) -> dict[str, object]:
    prompt_tokens = _count(request.prompt)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": length,
        "total_tokens": prompt_tokens + length,
    }


def _count(prompt: str | int | list[str | int | list[int]] | list[int] | None) -> int:
    if isinstance(prompt, str):
        return count_words(prompt)
    if isinstance(prompt, list):
        return sum(_count(item) for item in prompt)
    return 0 if prompt is None else 1  # an integer is a token
