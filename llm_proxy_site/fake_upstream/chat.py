"""POST /v1/chat/completions, whole or as a stream.

https://platform.openai.com/docs/api-reference/chat
"""

from collections.abc import Iterator
from itertools import repeat
from typing import Annotated

import msgspec

from .answers import CREATED, DONE, Answer, event, event_stream, json_answer
from .calls import Call
from .instants import BLANK
from .models import snapshot
from .prompts import Message, cached_tokens, count_prompt_tokens, reasoning_tokens
from .words import text, words

FINGERPRINT = "fp_fake"


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = False


class ChatRequest(msgspec.Struct):
    model: str
    messages: list[Message]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=128)] | None = 1
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    reasoning_effort: str | None = None
    service_tier: str | None = None


_DECODER = msgspec.json.Decoder(ChatRequest)


def create(call: Call) -> Answer:
    request = call.decode(_DECODER)
    if request.stream:
        return event_stream(_events(call, request))
    length, finish_reason = _length(call, request)
    message: dict[str, object] = {
        "role": "assistant",
        "content": text(length),
        "refusal": None,
        "annotations": [],
    }
    choices = [
        {"index": index, "message": message, "logprobs": None, "finish_reason": finish_reason}
        for index in range(request.n or 1)
    ]
    return json_answer(
        {
            **_head(call, request, "chat.completion"),
            "choices": choices,
            "usage": _usage(request, length),
            "service_tier": _service_tier(request),
            "system_fingerprint": FINGERPRINT,
        }
    )


def _events(call: Call, request: ChatRequest) -> Iterator[bytes]:
    head = {
        **_head(call, request, "chat.completion.chunk"),
        "service_tier": _service_tier(request),
        "system_fingerprint": FINGERPRINT,
    }
    include_usage = bool(request.stream_options and request.stream_options.include_usage)
    tail = {"usage": None} if include_usage else {}

    def chunk(index: int, delta: dict[str, object], finish_reason: str | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return event({**head, "choices": [choice], **tail})

    length, finish_reason = _length(call, request)
    choices = range(request.n or 1)
    for index in choices:
        yield chunk(index, {"role": "assistant", "content": "", "refusal": None})
    for word in repeat(BLANK, length) if call.faults.clock else words(length):
        for index in choices:
            yield chunk(index, {"content": word})
    for index in choices:
        yield chunk(index, {}, finish_reason)
    if include_usage:
        yield event({**head, "choices": [], "usage": _usage(request, length)})
    yield DONE


def _head(call: Call, request: ChatRequest, kind: str) -> dict[str, object]:
    return {
        "id": call.make_id("chatcmpl-"),
        "object": kind,
        "created": CREATED,
        "model": snapshot(request.model),
    }


def _length(call: Call, request: ChatRequest) -> tuple[int, str]:
    """How many words the answer has, and why not more."""
    limit = _limit(request)
    length = call.faults.length(None if limit is None else limit - _reasoning(request))
    return length, "stop" if length == call.faults.chunks else "length"


def _limit(request: ChatRequest) -> int | None:
    return request.max_completion_tokens or request.max_tokens


def _reasoning(request: ChatRequest) -> int:
    return reasoning_tokens(request.reasoning_effort, _limit(request))


def _service_tier(request: ChatRequest) -> str | None:
    """The tier that was used, which is never `auto`."""
    return "default" if request.service_tier in (None, "auto") else request.service_tier


def _usage(request: ChatRequest, length: int) -> dict[str, object]:
    prompt_tokens = count_prompt_tokens(request.messages)
    reasoning = _reasoning(request)
    completion_tokens = length * (request.n or 1) + reasoning
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": cached_tokens(prompt_tokens), "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
