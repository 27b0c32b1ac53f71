"""What an operation answers that has no endpoint of its own: an object, a list of them, a deletion, a file or
a stream, as its published media types say.
"""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import msgspec

from .answers import CREATED, DONE, Answer, event_stream, json_answer, named_event
from .background import begin
from .calls import Call
from .images import PIXEL
from .operations import Operation
from .patterns import pattern
from .words import text, words

FILE_BYTES = 4096
_ECHOED = (
    "name",
    "model",
    "metadata",
    "purpose",
    "filename",
    "input_file_id",
    "endpoint",
    "completion_window",
)
# POSTs that answer with a list.
_LISTING = ("/search", "/items", "/permissions")
# What reports model tokens, but for the endpoints that are elsewhere.
_REPORTING = ("/images/edits", "/responses/compact", "/responses/{response_id}", "/threads/runs")
_REPORTING_RUNS = ("/runs", "/runs/{run_id}", "/submit_tool_outputs")
_BEGINNING_RUNS = ("/threads/runs", "/threads/{thread_id}/runs")
# What may be streamed though the published table does not say so.
_STREAMED = ("/responses/{response_id}", *_BEGINNING_RUNS)


def answer_to(operation: Operation) -> Callable[[Call], Answer]:
    """The endpoint that answers this operation."""

    def answer(call: Call) -> Answer:
        return _answer(operation, call)

    return answer


def _answer(operation: Operation, call: Call) -> Answer:
    asked = _asked(call)
    if operation.method == "DELETE":
        return json_answer(_deletion(operation, call))
    if _is_stream(operation, call, asked):
        return event_stream(_events(operation, call, asked))
    media_type = _media_type(operation, call)
    if media_type == "application/sdp":
        return _session_description(operation, call)
    if media_type != "application/json":
        size = FILE_BYTES if call.faults.size_bytes is None else call.faults.size_bytes
        return Answer(pattern(size), media_type, operation.status, size=size)
    if not operation.response_types:
        return Answer(b"", "text/plain", operation.status)
    found = _object(operation, call, asked)
    if operation.method == "POST" and operation.path in _BEGINNING_RUNS:
        return begin(call, found)
    answer = json_answer(_list_of(found) if _is_list(operation) else found)
    return Answer(answer.body, answer.content_type, operation.status)


def _media_type(operation: Operation, call: Call) -> str:
    """Files come as files, unless the client takes nothing but JSON."""
    if not operation.response_types:
        return "application/octet-stream" if operation.method == "GET" else "application/json"
    wanted = call.request.headers.get("Accept", "")
    if operation.path.startswith("/videos/") and call.request.query.get("variant") == "thumbnail":
        return "image/webp"
    if "application/json" in operation.response_types and wanted == "application/json":
        return "application/json"
    return operation.response_types[-1]


def _is_stream(operation: Operation, call: Call, asked: dict[str, Any]) -> bool:
    if "text/event-stream" not in operation.response_types and operation.path not in _STREAMED:
        return False
    told = (asked.get("stream"), call.body.form.fields.get("stream"), call.request.query.get("stream"))
    return any(value in (True, "true") for value in told)


def _is_list(operation: Operation) -> bool:
    if operation.method == "GET":
        return "limit" in operation.parameters
    return operation.path.endswith(_LISTING) and not operation.path.endswith("}")


def _object(operation: Operation, call: Call, asked: dict[str, Any]) -> dict[str, Any]:
    found = {
        "id": _id(operation, call),
        "object": _kind(operation),
        "created_at": CREATED,
        "status": "completed",
        **{name: asked[name] for name in _ECHOED if name in asked},
    }
    if operation.path == "/images/edits":
        found = {"created": CREATED, "data": [{"b64_json": PIXEL}]}
    if _reports(operation):
        found["usage"] = _usage(operation, call)
    return found


def _list_of(item: dict[str, Any]) -> dict[str, Any]:
    return {
        "object": "list",
        "data": [item],
        "first_id": item.get("id"),
        "last_id": item.get("id"),
        "has_more": False,
    }


def _deletion(operation: Operation, call: Call) -> dict[str, Any]:
    return {"id": _id(operation, call), "object": f"{_kind(operation)}.deleted", "deleted": True}


def _events(operation: Operation, call: Call, asked: dict[str, Any]) -> Iterator[bytes]:
    """Named as those of `responses` and of runs: usage comes with the last."""
    kind, whole = _kind(operation), _object(operation, call, asked)
    numbers = count()
    begun = {name: value for name, value in whole.items() if name != "usage"} | {"status": "in_progress"}

    def of(state: str, **members: Any) -> bytes:
        return named_event({"type": f"{kind}.{state}", "sequence_number": next(numbers), **members})

    if kind == "response":
        begun, whole = {"response": begun}, {"response": whole}
    yield of("created", **begun)
    for word in words(call.faults.chunks):
        yield of("delta", delta=word)
    yield of("completed", **whole)
    if kind == "thread.run":
        yield b"event: done\n" + DONE


def _session_description(operation: Operation, call: Call) -> Answer:
    lines = ["v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=-", "t=0 0", "m=audio 9 UDP/TLS/RTP/SAVPF 111", ""]
    location = f"/v1{operation.path}/{call.make_id('rtc_')}"
    return Answer(
        "\r\n".join(lines).encode(), "application/sdp", operation.status, headers=(("location", location),)
    )


def _reports(operation: Operation) -> bool:
    path = operation.path
    return path in _REPORTING or (path.startswith("/threads/") and path.endswith(_REPORTING_RUNS))


def _usage(operation: Operation, call: Call) -> dict[str, Any]:
    sent, received = len(text(call.faults.chunks)) // 4, call.faults.chunks
    if operation.path.startswith("/threads"):
        return {"prompt_tokens": sent, "completion_tokens": received, "total_tokens": sent + received}
    return {"input_tokens": sent, "output_tokens": received, "total_tokens": sent + received}


def _asked(call: Call) -> dict[str, Any]:
    """The members of a JSON body, or the fields of a form; none if it is something else."""
    if call.body.form.fields:
        return dict(call.body.form.fields)
    try:
        found = msgspec.json.decode(call.body.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _id(operation: Operation, call: Call) -> str:
    """The one that the path ends with, or one that is made of the body."""
    given = list(call.request.match_info.values())
    if operation.ends_in_variable and given:
        return given[-1]
    return call.make_id(f"{_singular(operation.words[-1])}_")


def _kind(operation: Operation) -> str:
    """OpenAI names its objects after their path: /threads/{}/runs/{} is a `thread.run`."""
    if operation.path == "/images/edits":
        return "image_edit"
    words = operation.words
    if (
        operation.method == "POST"
        and not operation.ends_in_variable
        and len(words) > 1
        and "{" in operation.path
    ):
        above = operation.path.rsplit("/", 2)[-2]
        if above.startswith("{") and not words[-1].endswith("s"):
            words = words[:-1]  # an act on the object above: cancel, complete
    return ".".join(_singular(word) for word in words)


def _singular(word: str) -> str:
    if word.endswith("batches"):
        return word.removesuffix("es")
    return f"{word[:-3]}y" if word.endswith("ies") else word.removesuffix("s")
