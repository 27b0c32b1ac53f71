"""What upstream's events say of turns: which begins, which ends, and what it has used. Pure."""

import re
from typing import Literal

import msgspec

from proxy.metering.usage import Usage
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


class _Split(msgspec.Struct):
    audio_tokens: int | None = None


class _Details(msgspec.Struct):
    audio_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_tokens_details: _Split | None = None


class _Reported(msgspec.Struct):
    """`usage`: the realtime API writes `input_token_details`, responses `input_tokens_details`."""

    type: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_token_details: _Details | None = None
    output_token_details: _Details | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None


class _Response(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    status: str | None = None
    service_tier: str | None = None
    usage: _Reported | None = None


class _Transcription(msgspec.Struct):
    model: str | None = None


class _AudioInput(msgspec.Struct):
    transcription: _Transcription | None = None


class _Audio(msgspec.Struct):
    input: _AudioInput | None = None


class _Session(msgspec.Struct):
    model: str | None = None
    max_output_tokens: int | Literal["inf"] | None = None
    max_response_output_tokens: int | Literal["inf"] | None = None
    audio: _Audio | None = None
    input_audio_transcription: _Transcription | None = None


class _Error(msgspec.Struct):
    event_id: str | None = None


class _Event(msgspec.Struct):
    type: str = ""
    response: _Response | None = None
    session: msgspec.Raw = msgspec.Raw(b"null")
    error: _Error | None = None
    usage: _Reported | None = None


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
_events = msgspec.json.Decoder(_Event)
_sessions = msgspec.json.Decoder(_Session)


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
    try:
        event = _events.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ServerEvent(kind)
    response = event.response or _Response()
    return ServerEvent(
        kind=kind,
        response_id=response.id or "",
        has_failed=response.status == "failed",
        usage=_usage(response, event.usage if kind == TRANSCRIBED else response.usage),
        caused_by=_known_id(event.error.event_id) if event.error else None,
        session=_session(bytes(event.session)),
    )


def _known_id(event_id: str | None) -> str | None:
    return event_id if event_id and len(event_id) <= LONGEST_ID else None


def _session(document: bytes) -> SessionReport | None:
    if document == b"null":
        return None
    try:
        session = _sessions.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return SessionReport(document)
    audio_input = session.audio.input if session.audio else None
    transcription = (audio_input.transcription if audio_input else None) or session.input_audio_transcription
    most = session.max_output_tokens or session.max_response_output_tokens
    return SessionReport(
        document,
        model=session.model or "",
        transcription_model=(transcription.model if transcription else None) or "",
        max_output_tokens=most if isinstance(most, int) else None,
    )


def _usage(response: _Response, reported: _Reported | None) -> Usage | None:
    if reported is None or reported.input_tokens is None:
        return None
    inputs = reported.input_token_details or reported.input_tokens_details or _Details()
    outputs = reported.output_token_details or reported.output_tokens_details or _Details()
    split = inputs.cached_tokens_details
    counts = {
        "input_tokens": reported.input_tokens,
        "output_tokens": reported.output_tokens,
        "cached_tokens": inputs.cached_tokens,
        "cache_write_tokens": inputs.cache_write_tokens,
        "reasoning_tokens": outputs.reasoning_tokens,
        "audio_input_tokens": inputs.audio_tokens,
        "audio_output_tokens": outputs.audio_tokens,
        "cached_audio_tokens": split.audio_tokens if split else None,
    }
    if any(count is not None and not 0 <= count <= 2**53 for count in counts.values()):
        return None  # nonsense, that no column holds
    return Usage(model=response.model or "", service_tier=response.service_tier or "", **counts)


class _Piece(msgspec.Struct):
    response_id: str = ""


_pieces = msgspec.json.Decoder(_Piece)


def response_id_in(data: bytes) -> str:
    """Of a piece of a response; empty if it has none."""
    try:
        return _pieces.decode(data).response_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
