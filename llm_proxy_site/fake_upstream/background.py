"""Work that goes on by itself: background responses, batches, and runs of assistants. It is finished when it
is asked for.
"""

from collections.abc import Callable

import msgspec
from aiohttp import web

from .answers import CREATED, Answer, json_answer
from .calls import Call
from .models import snapshot

ZEROS = ("input_tokens", "output_tokens", "total_tokens")
FINISHED = web.AppKey("finished", dict[str, dict[str, object]])


def begin(call: Call, finished: dict[str, object]) -> Answer:
    """Remember how the work will end, and say that it waits."""
    call.request.app[FINISHED][str(finished["id"])] = finished
    usage = dict.fromkeys(ZEROS, 0) if call.faults.work == "zeros" else None
    output: dict[str, object] = {"output": []} if "output" in finished else {}
    return json_answer({**finished, "status": "queued", **output, "usage": usage})


def found_or(otherwise: Callable[[Call], Answer]) -> Callable[[Call], Answer]:
    """The endpoint that tells how the work ended; of what has not begun here, what `otherwise` says."""

    def answer(call: Call) -> Answer:
        *_, work_id = call.request.match_info.values()
        finished = call.request.app[FINISHED].get(work_id)
        if finished is None:
            return otherwise(call)
        if call.faults.work == "cancelled":
            return json_answer({**finished, "status": "cancelled", "output": [], "usage": None})
        return json_answer(finished)

    return answer


class BatchRequest(msgspec.Struct):
    input_file_id: str
    endpoint: str
    completion_window: str


_DECODER = msgspec.json.Decoder(BatchRequest)


def create_batch(call: Call) -> Answer:
    request = call.decode(_DECODER)
    return begin(
        call,
        {
            "id": call.make_id("batch_"),
            "object": "batch",
            "endpoint": request.endpoint,
            "model": snapshot("gpt-4o"),
            "status": "completed",
            "created_at": CREATED,
            "usage": {"input_tokens": 1000, "output_tokens": 200, "total_tokens": 1200},
        },
    )
