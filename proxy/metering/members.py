"""Where the members of a JSON object stand in its bytes, without decoding their values.

https://www.rfc-editor.org/rfc/rfc8259. Values are skipped by their brackets and quotes: whether they are well
formed is for the caller to know.
"""

import re
from dataclasses import dataclass

import msgspec

_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_KEY = re.compile(rb"[ \t\r\n]*+(" + _STRING + rb")[ \t\r\n]*+:[ \t\r\n]*+", re.DOTALL)
_PLAIN_VALUE = re.compile(_STRING + rb'|[^"{}\[\],: \t\r\n]++', re.DOTALL)
_BRACKET = re.compile(_STRING + rb"|[{}\[\]]", re.DOTALL)
_AFTER_VALUE = re.compile(rb"[ \t\r\n]*+([,}])")
_EMPTY = re.compile(rb"\{[ \t\r\n]*+\}")


@dataclass(frozen=True, slots=True)
class Member:
    """Offsets into the text: of the name's first quote, of the value, and of what follows the value."""

    name: str
    key_start: int
    start: int
    end: int


def members_of(text: bytes, start: int) -> tuple[list[Member], int]:
    """The members of the object whose brace is at `start`, and the offset behind its closing brace.

    -1 in place of that: the text ends before, or is no JSON from there on; the members before are given.
    """
    found: list[Member] = []
    empty = _EMPTY.match(text, start)
    if empty is not None:
        return found, empty.end()
    position = start + 1
    while (key := _KEY.match(text, position)) is not None:
        name, end = _name(key[1]), _end_of_value(text, key.end())
        after = _AFTER_VALUE.match(text, end) if end >= 0 else None
        if name is None or after is None:
            break
        found.append(Member(name, key.start(1), key.end(), end))
        position = after.end()
        if after[1] == b"}":
            return found, position
    return found, -1


def _name(literal: bytes) -> str | None:
    try:
        return msgspec.json.decode(literal, type=str) if b"\\" in literal else literal[1:-1].decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _end_of_value(text: bytes, start: int) -> int:
    if text[start : start + 1] not in (b"{", b"["):
        plain = _PLAIN_VALUE.match(text, start)
        return plain.end() if plain is not None else -1
    depth = 0
    for bracket in _BRACKET.finditer(text, start):
        first = text[bracket.start()]
        if first in b"{[":
            depth += 1
        elif first in b"}]":
            depth -= 1
            if depth == 0:
                return bracket.end()
    return -1
