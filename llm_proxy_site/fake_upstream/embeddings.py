"""POST /v1/embeddings: unit vectors made of the input's hash."""

import base64
import hashlib
from array import array
from itertools import cycle, islice
from typing import Annotated, Literal

import msgspec

from .answers import Answer, json_answer
from .calls import Call
from .words import count_words

Tokens = list[int]


class EmbeddingRequest(msgspec.Struct):
    model: str
    input: str | list[str | int | Tokens]
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: Annotated[int, msgspec.Meta(ge=1, le=4096)] | None = None


_DECODER = msgspec.json.Decoder(EmbeddingRequest)


def create(call: Call) -> Answer:
    request = call.decode(_DECODER)
    dimensions = request.dimensions or (3072 if request.model == "text-embedding-3-large" else 1536)
    inputs = _inputs(request.input)
    data = [
        {"object": "embedding", "index": index, "embedding": _encode(_vector(item, dimensions), request)}
        for index, item in enumerate(inputs)
    ]
    tokens = sum(count_words(item) if isinstance(item, str) else len(item) for item in inputs)
    return json_answer(
        {
            "object": "list",
            "data": data,
            "model": request.model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )


def _inputs(value: str | list[str | int | Tokens]) -> list[str | Tokens]:
    """A list of integers is one input, a list of anything else is many."""
    if isinstance(value, str):
        return [value]
    tokens = [item for item in value if isinstance(item, int)]
    if tokens:
        return [tokens]
    return [item for item in value if not isinstance(item, int)]


def _vector(item: str | Tokens, dimensions: int) -> "array[float]":
    seed = hashlib.sha256(repr(item).encode()).digest()
    numbers = [byte - 127.5 for byte in islice(cycle(seed), dimensions)]
    length = sum(number * number for number in numbers) ** 0.5
    return array("f", [number / length for number in numbers])


def _encode(vector: "array[float]", request: EmbeddingRequest) -> str | list[float]:
    if request.encoding_format == "base64":
        return base64.b64encode(vector.tobytes()).decode()
    return vector.tolist()
