"""Work that goes on by itself: background responses, and batches. It is finished when it is asked for."""

from http import HTTPStatus

import msgspec
from aiohttp import web

from .answers import CREATED, Answer, json_answer
from .calls import Call
from .errors import ApiError
from .models import snapshot

FINISHED = web.AppKey("finished", dict[str, dict[str, object]])


def begin(call: Call, finished: dict[str, object]) -> Answer:
    """Remember how the work will end, and say that it waits."""
    call.request.app[FINISHED][str(finished["id"])] = finished
    return json_answer({**finished, "status": "queued", "output": [], "usage": None})


def find(call: Call) -> Answer:
    finished = call.request.app[FINISHED].get(call.request.match_info["id"])
    if finished is None:
        raise ApiError(HTTPStatus.NOT_FOUND, "There is no such work.")
    return json_answer(finished)


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
