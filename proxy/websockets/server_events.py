"""What upstream's events say of turns: which begins, which ends, and what it has used. Pure."""

import re
from typing import Any, TypeVar

import msgspec

from proxy.metering.usage import Usage, read_usage
from proxy.websockets.client_events import LONGEST_ID

BEGINS = "response.created"
ENDS = frozenset({"response.done", "response.completed", "response.incomplete", "response.failed"})
FAILS = "error"
UPDATED = frozenset({"session.updated", "transcription_session.updated"})
SESSIONS = frozenset({"session.created", "transcription_session.created"}) | UPDATED
TRANSCRIBED = "conversation.item.input_audio_transcription.completed"
SEEN = frozenset({BEGINS, FAILS, TRANSCRIBED}) | ENDS | SESSIONS
"""Those that are read; of all others only the kind is looked at."""
AUDIO_PIECES = frozenset({"response.output_audio.delta", "response.audio.delta"})
BYTES_PER_AUDIO_TOKEN = 3200
"""In base64, of 16 bit at 24 kHz: a model token is 50 ms of what is spoken."""

# As OpenAI writes it, the type comes first, or after the event's id.
_HEAD = re.compile(rb'\s*\{\s*(?:"event_id"\s*:\s*"[^"\\]*"\s*,\s*)?"type"\s*:\s*"([^"\\]*)"')
_NULL = msgspec.Raw(b"null")
_T = TypeVar("_T", bound=msgspec.Struct)


class _Event(msgspec.Struct):
    """Each member is read by itself: an odd one loses nothing but itself."""

    response: msgspec.Raw = _NULL
    session: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL


class _Response(msgspec.Struct):
    id: Any = None
    status: Any = None


class _Error(msgspec.Struct):
    event_id: Any = None


class _Transcription(msgspec.Struct):
    model: Any = None


class _AudioInput(msgspec.Struct):
    transcription: msgspec.Raw = _NULL


class _Audio(msgspec.Struct):
    input: msgspec.Raw = _NULL


class _Session(msgspec.Struct):
    model: Any = None
    max_output_tokens: Any = None
    max_response_output_tokens: Any = None
    audio: msgspec.Raw = _NULL
    input_audio_transcription: msgspec.Raw = _NULL


class _Kind(msgspec.Struct):
    type: str = ""


class ServerEvent(msgspec.Struct, frozen=True):
    kind: str
    response_id: str = ""
    has_failed: bool = False
    usage: Usage | None = None
    """None: not reported."""
    caused_by: str | None = None
    """The id of the client's event that an error is about."""
    session: "SessionReport | None" = None


class SessionReport(msgspec.Struct, frozen=True):
    """What upstream says that the session is, all of it."""

    document: bytes
    model: str = ""
    transcription_model: str = ""
    max_output_tokens: int | None = None


_kinds = msgspec.json.Decoder(_Kind)


def kind_of(data: bytes) -> str:
    """The type of an event; empty if it is none."""
    head = _HEAD.match(data)
    if head is not None:
        return head[1].decode("latin-1")
    try:
        return _kinds.decode(data).type
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def read_event(kind: str, data: bytes) -> ServerEvent:
    """The facts in an event of a kind that is SEEN; what has another shape than it should is not there."""
    event = _read(data, _Event)
    response = _read(event.response, _Response)
    return ServerEvent(
        kind=kind,
        response_id=_text(response.id),
        has_failed=response.status == "failed",
        usage=read_usage(data if kind == TRANSCRIBED else bytes(event.response)),
        caused_by=_known_id(_text(_read(event.error, _Error).event_id)),
        session=_session(event.session),
    )


def _known_id(event_id: str) -> str | None:
    return event_id if 0 < len(event_id) <= LONGEST_ID else None


def _session(document: msgspec.Raw) -> SessionReport | None:
    if bytes(document) == b"null":
        return None
    session = _read(document, _Session)
    audio_input = _read(_read(session.audio, _Audio).input, _AudioInput)
    transcriptions = (audio_input.transcription, session.input_audio_transcription)
    most = session.max_output_tokens or session.max_response_output_tokens
    return SessionReport(
        bytes(document),
        model=_text(session.model),
        transcription_model=next(filter(None, map(_model, transcriptions)), ""),
        max_output_tokens=most if type(most) is int else None,
    )


def _model(transcription: msgspec.Raw) -> str:
    return _text(_read(transcription, _Transcription).model)


def _read(document: bytes | msgspec.Raw, kind: type[_T]) -> _T:
    """An empty one where that is no object, or cannot be read."""
    try:
        return msgspec.json.decode(document, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return kind()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


class _Piece(msgspec.Struct):
    response_id: str = ""


_pieces = msgspec.json.Decoder(_Piece)


def response_id_in(data: bytes) -> str:
    """Of a piece of a response; empty if it has none."""
    try:
        return _pieces.decode(data).response_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
