"""POST /v1/responses, whole or as a stream.

https://platform.openai.com/docs/api-reference/responses
"""

from collections.abc import Iterator
from itertools import count

import msgspec

from . import background
from .answers import CREATED, Answer, event_stream, json_answer, named_event
from .calls import Call
from .models import snapshot
from .prompts import Message, cached_tokens, count_prompt_tokens, reasoning_tokens
from .words import count_words, text, words


class Reasoning(msgspec.Struct):
    effort: str | None = None
    summary: str | None = None


class ResponsesRequest(msgspec.Struct):
    model: str
    input: str | list[Message] = ""
    instructions: str | None = None
    stream: bool | None = False
    max_output_tokens: int | None = None
    reasoning: Reasoning | None = None
    service_tier: str | None = None
    store: bool | None = True
    previous_response_id: str | None = None
    metadata: dict[str, str] | None = None
    background: bool | None = False


_DECODER = msgspec.json.Decoder(ResponsesRequest)


def create(call: Call) -> Answer:
    request = call.decode(_DECODER)
    if request.stream:
        return event_stream(named_event(event) for event in _events(call, request))
    if request.background:
        return background.begin(call, _finished(call, request))
    return json_answer(_finished(call, request))


def events(call: Call) -> Iterator[dict[str, object]]:
    """Those of a stream, for a request that need not ask for one."""
    return _events(call, call.decode(_DECODER))


def _events(call: Call, request: ResponsesRequest) -> Iterator[dict[str, object]]:
    numbers = count()
    where: dict[str, object] = {"item_id": call.make_id("msg_"), "output_index": 0, "content_index": 0}

    def event(kind: str, **members: object) -> dict[str, object]:
        return {"type": kind, "sequence_number": next(numbers), **members}

    started = _response(call, request, "in_progress")
    finished = _finished(call, request)
    length = _length(call, request)
    status = finished["status"]
    yield event("response.created", response=started)
    yield event("response.in_progress", response=started)
    yield event("response.output_item.added", output_index=0, item=_item(call, "in_progress", []))
    yield event("response.content_part.added", **where, part=_part(""))
    for word in words(length):
        yield event("response.output_text.delta", **where, delta=word, logprobs=[])
    yield event("response.output_text.done", **where, text=text(length), logprobs=[])
    yield event("response.content_part.done", **where, part=_part(text(length)))
    item = _item(call, str(status), [_part(text(length))])
    yield event("response.output_item.done", output_index=0, item=item)
    yield event(f"response.{status}", response=finished)


def _finished(call: Call, request: ResponsesRequest) -> dict[str, object]:
    length = _length(call, request)
    status = "completed" if length == call.faults.chunks else "incomplete"
    return {
        **_response(call, request, status),
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "output": [_item(call, status, [_part(text(length))])],
        "service_tier": "default" if request.service_tier in (None, "auto") else request.service_tier,
        "usage": _usage(request, length),
    }


def _response(call: Call, request: ResponsesRequest, status: str) -> dict[str, object]:
    return {
        "id": call.make_id("resp_"),
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "background": bool(request.background),
        "error": None,
        "incomplete_details": None,
        "instructions": request.instructions,
        "max_output_tokens": request.max_output_tokens,
        "model": snapshot(request.model),
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": request.previous_response_id,
        "reasoning": request.reasoning or Reasoning(),
        "service_tier": request.service_tier or "auto",
        "store": request.store is not False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
        "user": None,
        "metadata": request.metadata or {},
    }


def _item(call: Call, status: str, content: list[dict[str, object]]) -> dict[str, object]:
    return {
        "id": call.make_id("msg_"),
        "type": "message",
        "status": status,
        "content": content,
        "role": "assistant",
    }


def _part(content: str) -> dict[str, object]:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": content}


def _length(call: Call, request: ResponsesRequest) -> int:
    limit = request.max_output_tokens
    return call.faults.length(None if limit is None else limit - _reasoning(request))


def _reasoning(request: ResponsesRequest) -> int:
    effort = request.reasoning.effort if request.reasoning else None
    return reasoning_tokens(effort, request.max_output_tokens)


def _usage(request: ResponsesRequest, length: int) -> dict[str, object]:
    messages = [Message(content=request.input)] if isinstance(request.input, str) else request.input
    input_tokens = count_prompt_tokens(messages) + count_words(request.instructions or "")
    reasoning = _reasoning(request)
    return {
        "input_tokens": input_tokens,
        "input_tokens_details": {"cached_tokens": cached_tokens(input_tokens)},
        "output_tokens": length + reasoning,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": input_tokens + length + reasoning,
    }
