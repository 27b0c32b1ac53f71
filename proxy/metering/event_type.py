"""What kind of event this is, wherever its `type` stands.

OpenAI writes it first, servers that sort the names of members (vLLM, Ollama) last, or before `usage`.
"""

import re

from proxy.metering.members import members_of

_FIRST = re.compile(rb'\{[ \t\r\n]*+"type"[ \t\r\n]*+:[ \t\r\n]*+"([^"\\]*+)"')
_LAST = re.compile(rb'"type"[ \t\r\n]*+:[ \t\r\n]*+"([^"\\]*+)"[ \t\r\n]*+\}[ \t\r\n]*+\Z')
"""Before the brace that closes the event, so it is the event's own."""
_LAST_BYTES = 256


def type_of(head: bytes, tail: bytes, *, is_plain: bool = False) -> bytes:
    """Of an event of which these are the beginning and the end, or both all of it; empty if there is none.

    `is_plain`: a type between other members is not looked for.
    """
    found = _FIRST.match(head)
    if found is None and tail.endswith((b'"}', b'" }', b"\n}")):
        found = _LAST.search(tail, max(0, len(tail) - _LAST_BYTES))
    if found is not None:
        return found[1]
    return b"" if is_plain or b'"type"' not in head else _value_of(head, "type").strip(b'"')


def first_type(event: bytes) -> bytes:
    """The bytes with which the event names its type, and begins; empty if it does not."""
    found = _FIRST.match(event)
    return b"" if found is None else found[0]


def has_error(event: bytes) -> bool:
    """Whether the event is one: `error` is a member of its own, not of an item in it."""
    return b'"error"' in event and _value_of(event, "error") not in (b"", b"null")


def _value_of(event: bytes, name: str) -> bytes:
    """Of a member of its own, as it is spelt; empty if there is none."""
    if not event.startswith(b"{"):
        return b""
    members, _ = members_of(event, 0)
    return next((event[each.start : each.end] for each in members if each.name == name), b"")
