"""What is kept of a JSON document that is too long: its beginning and its end, and what they report.

`usage` is a member of the document, or of its `response`, and stands near the one or the other: what lies
between (images, embeddings, output) is forgotten unread. Sound for valid JSON: the text from a name to the
document's end can only be read as the rest of an object if the name is a member of it.
"""

import re
from collections import deque

import msgspec

from proxy.metering.background import Work, read_work
from proxy.metering.event_type import type_of
from proxy.metering.members import members_of
from proxy.metering.usage import Usage, read_model, read_usage

KEPT_BYTES = 64 * 1024
"""Of the beginning, and of the end."""
MAX_CANDIDATES = 8
_OBJECT = re.compile(rb"[ \t\r\n]*+\{")
_RESPONSE = re.compile(rb'"response"[ \t\r\n]*+:[ \t\r\n]*+\{')
_AFTER_RESPONSE = re.compile(
    rb'(?<=\})\s*+(?:,\s*+"(?:[^"\\]++|\\.)*+"\s*+:\s*+'
    rb'(?:"(?:[^"\\]++|\\.)*+"|[-+.\w]++|\{\s*+\}|\[\s*+\])\s*+)*+\}\Z',
    re.DOTALL,
)
"""What an event has behind its `response`: its other members may follow."""
_AFTER_RESPONSE_BYTES = 1024
_SPACE = b" \t\r\n"


class Excerpt:
    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        self.head = b""
        self._ends: deque[bytes] = deque()
        self._ends_bytes = 0
        self._has_gap = False

    def feed(self, part: bytes) -> None:
        missing = self._kept_bytes - len(self.head)
        if missing > 0:
            self.head += part[:missing]
            part = part[missing:]
        if part:
            self._ends.append(part)
            self._ends_bytes += len(part)
            while self._ends_bytes - len(self._ends[0]) >= self._kept_bytes:
                self._ends_bytes -= len(self._ends.popleft())
                self._has_gap = True

    def tail(self) -> bytes:
        """The last bytes that were kept; all if nothing is missing."""
        end = b"".join(self._ends)
        return end if self._has_gap else self.head + end  # what is looked for may begin in the head

    def usage(self) -> Usage | None:
        """What the document reports, as far as it stands in what was kept."""
        known = self._known()
        return read_usage(_object_of(known)) if b"usage" in known else None

    def model(self) -> str:
        """The model that it names, likewise; empty if none."""
        return read_model(_object_of(self._known()))

    def _known(self) -> dict[bytes, bytes]:
        """The wanted members of the document, or of its `response`, by name."""
        brace = _OBJECT.match(self.head)
        if brace is None:
            return {}
        found = [_from_head(self.head, brace.end() - 1)]
        end = self.tail().rstrip(_SPACE)
        response = self._response_brace()
        if response is not None:
            found.append(_from_head(self.head, response))
            end = _up_to_response(end)
        known: dict[bytes, bytes] = {}
        for members in (*found, _from_end(end)):
            known |= members
        return known

    def work(self) -> Work | None:
        """What the document is about, as far as its beginning says."""
        brace = self._response_brace()
        if brace is None:
            whole = _OBJECT.match(self.head)
            if whole is None:
                return None
            brace = whole.end() - 1
        members, _ = members_of(self.head, brace)
        known = [
            b'"%b":%b' % (member.name.encode(), self.head[member.start : member.end])
            for member in members
            if member.name in _OF_WORK
        ]
        return read_work(b"{" + b",".join(known) + b"}")

    def _response_brace(self) -> int | None:
        """Where the `response` of an event begins; None if it is no event about one."""
        response = _RESPONSE.search(self.head)
        if response is None:
            return None
        is_event = b'"response.' in self.head[: response.start()] or (
            not self.head[: response.start()].strip(_SPACE + b"{")
            and type_of(b"", self.tail().rstrip(_SPACE)).startswith(b"response.")
        )
        return response.end() - 1 if is_event else None


_OF_WORK = ("id", "object", "background", "status")
_WANTED = {"model": b"model", "service_tier": b"service_tier", "usage": b"usage"}
_NULL = msgspec.Raw(b"null")


class _Rest(msgspec.Struct):
    """The last members of an object."""

    model: msgspec.Raw = _NULL
    service_tier: msgspec.Raw = _NULL
    usage: msgspec.Raw = _NULL


_rests = msgspec.json.Decoder(_Rest)


def _object_of(members: dict[bytes, bytes]) -> bytes:
    return b"{" + b",".join(b'"%b":%b' % member for member in members.items()) + b"}"


def _up_to_response(end: bytes) -> bytes:
    """Of an event's end: up to the brace that closes its `response`."""
    after = _AFTER_RESPONSE.search(end, max(0, len(end) - _AFTER_RESPONSE_BYTES))
    return end[: after.start()] if after is not None else end[:-1].rstrip(_SPACE)


def _from_head(head: bytes, brace: int) -> dict[bytes, bytes]:
    """The wanted members, by name, of the object whose brace this is; its end is missing."""
    members, _ = members_of(head, brace)
    return _set({_WANTED[each.name]: head[each.start : each.end] for each in members if each.name in _WANTED})


def _from_end(end: bytes) -> dict[bytes, bytes]:
    """The wanted members of the object that ends here; its beginning is missing."""
    found: dict[bytes, bytes] = {}
    for name in _WANTED.values():
        rest = _rest_from(end, b'"' + name + b'"')
        if rest is not None:
            found |= _set({each: bytes(getattr(rest, each.decode())) for each in _WANTED.values()})
    return found


def _rest_from(end: bytes, name: bytes) -> _Rest | None:
    at = len(end)
    for _ in range(MAX_CANDIDATES):
        at = end.rfind(name, 0, at)
        if at < 0:
            return None
        if end[:at].rstrip(_SPACE)[-1:] not in (b",", b"{"):
            continue
        try:
            return _rests.decode(b"{" + end[at:])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
    return None


def _set(members: dict[bytes, bytes]) -> dict[bytes, bytes]:
    return {name: value for name, value in members.items() if value != b"null"}
