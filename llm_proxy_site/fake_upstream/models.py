"""GET /v1/models, and which dated snapshot answers under a model's short name."""

from .answers import CREATED, Answer, json_answer
from .calls import Call
from .errors import ApiError

_SNAPSHOTS = {
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-5": "gpt-5-2025-08-07",
    "gpt-5-mini": "gpt-5-mini-2025-08-07",
    "o3": "o3-2025-04-16",
    "o4-mini": "o4-mini-2025-04-16",
}
_UNDATED = (
    "gpt-3.5-turbo-instruct",
    "gpt-4o-mini-tts",
    "gpt-4o-transcribe",
    "gpt-image-1",
    "omni-moderation-latest",
    "text-embedding-3-large",
    "text-embedding-3-small",
    "tts-1",
    "whisper-1",
)
MODELS = tuple(sorted({*_SNAPSHOTS, *_SNAPSHOTS.values(), *_UNDATED}))


def list_all(call: Call) -> Answer:
    return json_answer({"object": "list", "data": [_model(name) for name in MODELS]})


def retrieve(call: Call) -> Answer:
    name = call.request.match_info["model"]
    if name not in MODELS:
        raise ApiError(404, f"The model '{name}' does not exist", param="model", code="model_not_found")
    return json_answer(_model(name))


def snapshot(model: str) -> str:
    """The name that an answer carries. Unlike OpenAI, every model is served."""
    return _SNAPSHOTS.get(model, model)


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "system"}
