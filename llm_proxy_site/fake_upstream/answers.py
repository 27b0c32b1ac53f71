"""What an endpoint says, before faults and headers: plain values, and how JSON and events become bytes."""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

CREATED = 1_750_000_000  # every object was created at this instant: the same request, the same bytes
DONE = b"data: [DONE]\n\n"
EVENT_STREAM = "text/event-stream; charset=utf-8"

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is all of it, or its chunks, each of which is written alone; `size` is their sum where known."""

    body: bytes | Iterator[bytes]
    content_type: str = "application/json"
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    size: int | None = None


def json_answer(value: object) -> Answer:
    return Answer(_encode(value))


def event_stream(events: Iterator[bytes]) -> Answer:
    return Answer(events, EVENT_STREAM)


def event(data: object, name: str = "") -> bytes:
    """One server-sent event; `name` becomes its `event:` line."""
    prefix = f"event: {name}\ndata: ".encode() if name else b"data: "
    return b"%b%b\n\n" % (prefix, _encode(data))


def named_event(data: dict[str, object]) -> bytes:
    """An event that is named after its own `type`."""
    return event(data, str(data["type"]))
