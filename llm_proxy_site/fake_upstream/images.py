"""POST /v1/images/generations: one pixel, whole or with partial images as a stream."""

from collections.abc import Iterator
from typing import Annotated

import msgspec

from .answers import CREATED, Answer, event_stream, json_answer, named_event
from .calls import Call
from .words import count_words

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
IMAGE_TOKENS = 272


class ImageRequest(msgspec.Struct):
    prompt: str
    model: str = "gpt-image-1"
    n: Annotated[int, msgspec.Meta(ge=1, le=10)] | None = 1
    stream: bool | None = False
    partial_images: Annotated[int, msgspec.Meta(ge=0, le=3)] | None = 0


_DECODER = msgspec.json.Decoder(ImageRequest)
_KIND: dict[str, object] = {
    "background": "opaque",
    "output_format": "png",
    "quality": "low",
    "size": "1024x1024",
}


def generate(call: Call) -> Answer:
    request = call.decode(_DECODER)
    if request.stream:
        return event_stream(_events(request))
    data = [{"b64_json": PIXEL}] * (request.n or 1)
    return json_answer({"created": CREATED, **_KIND, "data": data, "usage": _usage(request)})


def _events(request: ImageRequest) -> Iterator[bytes]:
    image = {"created_at": CREATED, "b64_json": PIXEL, **_KIND}
    for index in range(request.partial_images or 0):
        yield named_event({"type": "image_generation.partial_image", **image, "partial_image_index": index})
    yield named_event({"type": "image_generation.completed", **image, "usage": _usage(request)})


def _usage(request: ImageRequest) -> dict[str, object]:
    text_tokens = count_words(request.prompt)
    image_tokens = IMAGE_TOKENS * (request.n or 1)
    return {
        "input_tokens": text_tokens,
        "input_tokens_details": {"text_tokens": text_tokens, "image_tokens": 0},
        "output_tokens": image_tokens,
        "output_tokens_details": {"text_tokens": 0, "image_tokens": image_tokens},
        "total_tokens": text_tokens + image_tokens,
    }
