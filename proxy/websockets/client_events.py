"""The few events of a client that must be seen before they may pass: those that choose a model, or could, and
those that begin a turn. All others are only searched, never parsed: audio comes in many megabytes.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from projects.ruleset import LONGEST_MODEL

SESSIONS = ("session.update", "transcription_session.update")
TURN = "response.create"
MAX_MEMBERS = 1000
"""Of one JSON object that we look into."""
LONGEST_ID = 512
"""OpenAI's bound of an `event_id`; one that is longer is none."""
_NEEDLES = ("session.update", TURN, '"model"')
_ESCAPED = "\\u00"
_HIDDEN = re.compile(r"\\u00(?:2[eE]|3[0-9]|4[1-9a-fA-F]|5[0-9aAfF]|6[1-9a-fA-F]|7[0-9aA])")
"""No writer of JSON escapes a letter, a digit, a dot or an underscore: here a word may be hidden from us."""
_UNIQUE = frozenset(
    {
        *("type", "model", "session", "response", "audio", "input"),
        *("transcription", "input_audio_transcription", "max_output_tokens", "max_response_output_tokens"),
        *("service_tier", "tools", "prompt", "previous_response_id", "conversation"),
    }
)
_ABSENT = msgspec.Raw(b"null")


class UnreadableEvent(Exception):
    """An event that must be seen and cannot be read with certainty; the message says why."""


class ClientEvent(msgspec.Struct, frozen=True):
    kind: str
    """Perhaps none that we know, if it names a model."""
    document: str
    """All of it."""
    event_id: str | None
    named_model: str
    """Wherever it stands: in the event, its session or its response; empty if it names none."""
    model: str
    """The same, if it stands where it is read: in a change of the session in `session`, else in the event."""
    transcription_model: str
    output: "OutputBound | None"
    """Where it is read: in a change of the session in `session`, else in `response`; None: not said."""
    refers_elsewhere: bool
    """Whether it makes upstream add what it keeps or fetches."""
    is_beside: bool
    """Whether it asks for a response that does not read the conversation, or does not go into it."""


class OutputBound(msgspec.Struct, frozen=True):
    """What an event says of how long an output may be."""

    max_tokens: int | None
    """None: no number that we can be sure of, `"inf"` among them."""


def read_event(data: str | bytes) -> ClientEvent | None:
    """The event in a message; None if it is none of those that must be seen. Raises UnreadableEvent."""
    text = _text(data)
    if text is None or not _may_matter(text):
        return None
    members = _members(text)
    kind = _text_member(members, "type")
    session, response = _object(members, "session"), _object(members, "response")
    audio_input = _object(_object(session, "audio"), "input")
    changes_session = kind in SESSIONS
    event = ClientEvent(
        kind=kind,
        document=text,
        event_id=_id(members),
        named_model=_one_of(_model(part) for part in (members, session, response)),
        model=_model(session if changes_session else members),
        transcription_model=_one_of(
            _model(_object(part, name))
            for part, name in ((audio_input, "transcription"), (session, "input_audio_transcription"))
        ),
        output=_output_bound(session if changes_session else response),
        refers_elsewhere='"mcp"' in text
        or _may_hide(text)
        or any(_is_set(part, "prompt") for part in (members, session, response)),
        is_beside=_is_beside(response),
    )
    matters = kind in (*SESSIONS, TURN) or event.named_model or event.transcription_model
    return event if matters else None


def _text(data: str | bytes) -> str | None:
    """What a reader of JSON would make of a message; None if it is no text. Raises UnreadableEvent."""
    if isinstance(data, str):
        return data
    # Readers of bytes guess UTF-16 and UTF-32 by their NULs.
    if b"\0" in data[:4] or data[:2] in (b"\xfe\xff", b"\xff\xfe"):
        if _may_matter(data.replace(b"\0", b"").decode("latin-1")):
            raise UnreadableEvent("An event is not in UTF-8.")
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        if _may_matter(data.decode("latin-1")):
            raise UnreadableEvent("An event is not in UTF-8.") from None
        return None


def _may_matter(text: str) -> bool:
    return any(needle in text for needle in _NEEDLES) or _may_hide(text)


def _may_hide(text: str) -> bool:
    return _ESCAPED in text and _HIDDEN.search(text) is not None


class _Name(str):
    """A member's name as it occurs: two that are spelt the same are two."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


def _counted() -> Callable[[type, Any], _Name]:
    left = MAX_MEMBERS

    def name(_: type, value: Any) -> _Name:
        nonlocal left
        left -= 1
        if left < 0:
            raise ValueError("too many members")
        return _Name(value)

    return name


def _members(document: str | msgspec.Raw) -> dict[str, msgspec.Raw]:
    """Of a JSON object. Raises UnreadableEvent, also for a name that stands there twice and must not."""
    decoder = msgspec.json.Decoder(dict[_Name, msgspec.Raw], dec_hook=_counted())
    try:
        found = decoder.decode(document)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise UnreadableEvent("An event is not valid JSON, or no object.") from None
    members: dict[str, msgspec.Raw] = {}
    for key, value in found.items():
        name = str.__str__(key)
        if name in members and name in _UNIQUE:
            raise UnreadableEvent(f"An event has two members named {name}.")
        members[name] = value
    return members


def _object(members: dict[str, msgspec.Raw], name: str) -> dict[str, msgspec.Raw]:
    """The members of a member that is an object; none if it is not."""
    value = members.get(name, _ABSENT)
    return _members(value) if bytes(value)[:1] == b"{" else {}


def _text_member(members: dict[str, msgspec.Raw], name: str) -> str:
    """Empty if it is absent or null. Raises UnreadableEvent for another type."""
    value = members.get(name, _ABSENT)
    if bytes(value) == b"null":
        return ""
    try:
        return msgspec.json.decode(value, type=str)
    except (msgspec.DecodeError, UnicodeError):
        raise UnreadableEvent(f"An event's {name} is no text.") from None


def _model(members: dict[str, msgspec.Raw]) -> str:
    model = _text_member(members, "model")
    if len(model) > LONGEST_MODEL:
        raise UnreadableEvent("An event names a model by too long a name.")
    return model


def _id(members: dict[str, msgspec.Raw]) -> str | None:
    try:
        event_id = _text_member(members, "event_id")
    except UnreadableEvent:
        return None
    return event_id if 0 < len(event_id) <= LONGEST_ID else None


def _one_of(names: Any) -> str:
    """Raises UnreadableEvent if there are two."""
    found = {name for name in names if name}
    if len(found) > 1:
        raise UnreadableEvent("An event names more than one model.")
    return found.pop() if found else ""


def _output_bound(members: dict[str, msgspec.Raw]) -> OutputBound | None:
    """By either name; of two the larger one."""
    said = [bytes(members.get(name, _ABSENT)) for name in ("max_output_tokens", "max_response_output_tokens")]
    counts = [_count(text) for text in said if text != b"null"]
    if not counts:
        return None
    known = [count for count in counts if count is not None]
    return OutputBound(max(known) if len(known) == len(counts) else None)


def _count(text: bytes) -> int | None:
    return int(text) if text.isdigit() and len(text) < 10 and int(text) > 0 else None


def _is_beside(response: dict[str, msgspec.Raw]) -> bool:
    return bytes(response.get("conversation", _ABSENT)) not in (b"null", b'"auto"') or (
        bytes(response.get("input", _ABSENT)) != b"null"
    )


def _is_set(members: dict[str, msgspec.Raw], name: str) -> bool:
    return bytes(members.get(name, _ABSENT)) not in (b"null", b"[]")
