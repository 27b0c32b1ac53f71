"""What is told of a model's work, by the names of the GenAI conventions. See `spans.py`."""

from typing import Any

from proxy.tracing.answer import Told
from usage.entry import UsageEntry
from usage.outcomes import UsageSource

Attributes = dict[str, Any]

OPERATIONS = {
    "/chat/completions": "chat",
    "/responses": "chat",
    "/responses/compact": "chat",
    "/realtime": "chat",
    "/completions": "text_completion",
    "/embeddings": "embeddings",
    "/audio/speech": "generate_content",
    "/audio/transcriptions": "generate_content",
    "/audio/translations": "generate_content",
    "/images/edits": "generate_content",
    "/images/generations": "generate_content",
    "/images/variations": "generate_content",
    "/videos": "generate_content",
}
"""By endpoint: of a POST, and of a turn. All other requests are not for a model."""
API_TYPES = {"/chat/completions": "chat_completions", "/responses": "responses"}
PROVIDER = "openai"
"""Whose API it is, whoever serves it: `server.address` says who does."""
MAX_MODEL = 200
"""Characters: clients choose them."""
_MODEL_METHODS = ("POST", "TURN")
_COUNTS = {
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cached_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_write_tokens": "gen_ai.usage.cache_write.input_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
    "audio_input_tokens": "gen_ai.usage.audio.input_tokens",
    "audio_output_tokens": "gen_ai.usage.audio.output_tokens",
    "image_input_tokens": "gen_ai.usage.image.input_tokens",
    "image_output_tokens": "gen_ai.usage.image.output_tokens",
}
_REPORTED = (UsageSource.UPSTREAM, UsageSource.PARTIAL)


def asked_for(entry: UsageEntry, model: str) -> tuple[str, Attributes]:
    """The name of the span of a call upstream, and what was asked for."""
    operation = OPERATIONS.get(entry.endpoint) if entry.method in _MODEL_METHODS else None
    if operation is None:
        return f"{entry.method} {entry.endpoint}", {}
    model = model[:MAX_MODEL]
    return f"{operation} {model}".strip(), known(
        {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": PROVIDER,
            "gen_ai.request.model": model or None,
            "gen_ai.request.stream": entry.is_stream or None,
            "openai.api.type": API_TYPES.get(entry.endpoint),
        }
    )


def used(entry: UsageEntry, told: Told | None) -> Attributes:
    """What upstream reports of it. Estimates of ours are not told: they are in the ledger, by that name."""
    answer: Attributes = {
        "gen_ai.response.id": (told and told.id) or None,
        "gen_ai.response.finish_reasons": (told and told.finish_reasons) or None,
    }
    if entry.usage_source in _REPORTED:
        answer |= {name: getattr(entry, field) for field, name in _COUNTS.items()}
        answer["gen_ai.response.model"] = entry.model[:MAX_MODEL] or None
        answer["openai.response.service_tier"] = entry.service_tier or None
    return known(answer)


def known(attributes: Attributes) -> Attributes:
    return {name: value for name, value in attributes.items() if value is not None}
