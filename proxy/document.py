"""What a request's body says by certain names, read so that no other reader can understand it otherwise.

What two readers may understand differently is refused: a member that is there twice, or that another reader
may take for one of them, an encoding or a charset that hides the text.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import msgspec

from projects.ruleset import Names
from proxy.errors import BadRequest
from proxy.form import is_hidden, is_plain_text, read_form
from proxy.headers import FORM, is_encoded, media_type
from proxy.types import Headers

MAX_LIST_DEPTH = 8
_MEMBER = re.compile(rb'[ \t\n\r]*("(?:[^"\\]|\\.)*")[ \t\n\r]*:[ \t\n\r]*', re.DOTALL)
_AFTER_MEMBER = re.compile(rb"[ \t\n\r]*([,}])")
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items = msgspec.json.Decoder(list[msgspec.Raw])
_text = msgspec.json.Decoder(str)


@dataclass(frozen=True, slots=True)
class Document:
    values: dict[str, Any] = field(default_factory=dict)
    """By name, as deep as was asked for; an object of which nothing was asked is empty."""
    is_form: bool = False
    """Whether its values are text, which upstream reads as what it expects."""


NO_DOCUMENT = Document()


def read_document(headers: Headers, body: bytes, names: Names) -> Document:
    """What the body says by these names. Raises BadRequest where that is not certain."""
    if not body:
        return NO_DOCUMENT
    types = [value for name, value in headers if name == b"content-type"]
    media = media_type(headers)
    if len(types) > 1 or (media != FORM and any(b"," in content_type for content_type in types)):
        raise _uncertain("It has two content types", names)
    if is_encoded(headers):
        raise _uncertain("Send it without a Content-Encoding", names)
    if not all(is_plain_text(content_type, body) for content_type in types):
        raise _uncertain("Send it in UTF-8", names)
    if media == FORM:
        return _read_form(types[0], body, names)
    if media.startswith(b"multipart/") or media == b"application/x-www-form-urlencoded":
        raise _uncertain("Send it as application/json or multipart/form-data", names)
    return Document(read_json(body, names))


def read_json(text: bytes, names: Names, place: str = "") -> dict[str, Any]:
    """What a JSON object says by these names. Raises BadRequest where that is not certain."""
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError:
            raise _uncertain("It is not UTF-8", names, place) from None
    return _object(text, names, place)


def has_unique_members(text: bytes, *, without: str) -> bool:
    """Whether it is certain which members this JSON object has, and that this one is not among them."""
    try:
        members = _members.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return without not in members and _first_duplicate(text, members) is None


def _read_form(content_type: bytes, body: bytes, names: Names) -> Document:
    try:
        return Document(read_form(content_type, body, names, read_json), is_form=True)
    except BadRequest as refused:
        refused.param = refused.param or next(iter(names), None)
        raise


def values_at(value: Any, path: tuple[str, ...]) -> list[Any]:
    """All values in a document to which the path leads, but for null. Lists are looked into at every step."""
    if not path and not isinstance(value, list):
        return [] if value is None else [value]
    if isinstance(value, list):
        return [found for item in value for found in values_at(item, path)]
    if isinstance(value, dict) and path[0] in value:
        return values_at(value[path[0]], path[1:])
    return []


def _object(text: bytes, names: Names, place: str) -> dict[str, Any]:
    try:
        members = _members.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _uncertain("It is not a JSON object", names, place) from None
    twice = _first_duplicate(text, members)
    if twice is not None:
        raise _uncertain("A member is in it twice", names, _join(place, twice))
    for member in members:
        if is_hidden(member, names):
            raise _uncertain("One of its members is spelt in a doubtful way", names, _join(place, member))
    return {
        name: _value(bytes(members[name]), branch, _join(place, name))
        for name, branch in names.items()
        if branch is not None and name in members
    }


def _value(text: bytes, names: Names, place: str, depth: int = 0) -> Any:
    first = text[:1]
    if first == b"[":
        if depth == MAX_LIST_DEPTH:
            raise _uncertain("Its lists are too deep", names, place)
        return [_value(bytes(item), names, place, depth + 1) for item in _list(text, names, place)]
    if first == b"{":
        return _object(text, names, place) if names else {}
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _uncertain("It has a value that cannot be read", names, place) from None


def _list(text: bytes, names: Names, place: str) -> list[msgspec.Raw]:
    try:
        return _items.decode(text)
    except (msgspec.DecodeError, RecursionError):  # what is deep is read from deeper down than before
        raise _uncertain("It has a value that cannot be read", names, place) from None


def _compact_length(members: dict[str, msgspec.Raw]) -> int:
    """Of the object without blanks and escapes in names. A text of just this length has no member twice: the
    first one of two would be in it, and is not counted here.
    """
    length = 1 if members else 2
    for name, value in members.items():
        length += (len(name) if name.isascii() else len(name.encode())) + 4 + len(value)
    return length


def _first_duplicate(text: bytes, members: dict[str, msgspec.Raw]) -> str | None:
    """A member that is in the object twice; None: there is none.

    Walks from member to member. Of one that is there twice `members` has the last value.
    """
    if len(text) == _compact_length(members):
        return None
    seen: set[str] = set()
    position = text.index(b"{") + 1
    while member := _MEMBER.match(text, position):
        name = _text.decode(member[1])
        value = memoryview(members[name])  # not a copy: it may be most of the text
        after = _AFTER_MEMBER.match(text, member.end() + len(value))
        if name in seen or after is None or not text.startswith(value, member.end()):
            return name
        seen.add(name)
        position = after.end()
    return None


def _join(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _uncertain(why: str, names: Names, place: str = "") -> BadRequest:
    return BadRequest(
        "The limits or rules of this access token depend on what is in this request's body, and it cannot be "
        f"read with certainty. {why}.",
        param=(place or next(iter(names), None) or "")[:100] or None,
    )
