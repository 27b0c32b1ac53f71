"""What an answer says of itself, besides its usage."""

from typing import Any

import msgspec

MAX_DOCUMENT_BYTES = 256 * 1024
"""What is longer are vectors and pictures, mostly, and they have no names."""
MAX_TEXT = 200
"""Characters: upstream chooses them."""


class Told(msgspec.Struct, frozen=True):
    id: str = ""
    finish_reasons: tuple[str, ...] = ()


class _Choice(msgspec.Struct):
    finish_reason: Any = None


class _Inner(msgspec.Struct):
    id: Any = None


class _Answer(msgspec.Struct):
    id: Any = None
    choices: list[_Choice] = []
    response: _Inner | None = None
    """An event of `responses` carries its response inside."""


_answers = msgspec.json.Decoder(_Answer)


def read_answer(document: bytes, finish_reasons: tuple[str, ...] = ()) -> Told | None:
    """None if that cannot be read. `finish_reasons`: of a stream, of which the document is one event."""
    told = _read(document)
    if not finish_reasons:
        return told
    return Told(id=told.id if told is not None else "", finish_reasons=finish_reasons)


def _read(document: bytes) -> Told | None:
    if not document or len(document) > MAX_DOCUMENT_BYTES:
        return None
    try:
        answer = _answers.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    reasons = [choice.finish_reason for choice in answer.choices]
    return Told(
        id=_text(answer.response.id if answer.response is not None else answer.id),
        finish_reasons=tuple(_text(reason) for reason in reasons if reason),
    )


def _text(value: Any) -> str:
    return value[:MAX_TEXT] if isinstance(value, str) else ""
