"""POST /v1/moderations: nothing is ever flagged."""

import msgspec

from .answers import Answer, json_answer
from .calls import Call
from .prompts import Part

_CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)


class ModerationRequest(msgspec.Struct):
    input: str | list[str | Part]
    model: str = "omni-moderation-latest"


_DECODER = msgspec.json.Decoder(ModerationRequest)
_RESULT = {
    "flagged": False,
    "categories": dict.fromkeys(_CATEGORIES, False),
    "category_scores": dict.fromkeys(_CATEGORIES, 0.0001),
    "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
}


def create(call: Call) -> Answer:
    request = call.decode(_DECODER)
    results = [_RESULT] * (len(request.input) if isinstance(request.input, list) else 1)
    return json_answer({"id": call.make_id("modr-"), "model": request.model, "results": results})
