"""How records lie in a file: one after the other, each with a mark, its length and a checksum. Pure.

Whatever happens to a file, each record that is whole in it is found: reading goes on at the next mark.
"""

from dataclasses import dataclass, field
from struct import Struct
from zlib import crc32

MARK = b"\x89UR1"
"""Not text. Its last byte is the version of what follows."""
MAX_PAYLOAD_BYTES = 256 * 1024
MAX_FRAME_BYTES = MAX_PAYLOAD_BYTES + 12
_HEAD = Struct("<4sII")


@dataclass(slots=True)
class Found:
    payloads: list[bytes] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    """Where each of them ends."""
    position: int = 0
    """Up to where all is read."""
    damaged_bytes: int = 0
    """That are no record."""
    torn_bytes: int = 0
    """Of a last record that was not written to its end."""


def frame(payload: bytes) -> bytes:
    return _HEAD.pack(MARK, len(payload), crc32(payload)) + payload


def read_frames(data: bytes, most: int, *, is_end: bool) -> Found:
    """The first records in the data. `is_end`: nothing follows it."""
    found = Found()
    while len(found.payloads) < most and found.position < len(data):
        start = found.position
        end = _end_of_frame(data, start)
        if end is not None and end > len(data) and not is_end:
            break  # the rest comes with the next piece
        payload = data[start + _HEAD.size : end] if end is not None and end <= len(data) else None
        if payload is not None and _is_sound(data, start, payload):
            assert end is not None
            found.payloads.append(payload)
            found.ends.append(end)
            found.position = end
        else:
            _skip(found, data, is_end=is_end, is_torn=end is not None and end > len(data))
    return found


def _end_of_frame(data: bytes, start: int) -> int | None:
    """Where the frame ends that begins here, perhaps beyond the data; None: none begins."""
    if not MARK.startswith(data[start : start + len(MARK)]):
        return None
    if len(data) - start < _HEAD.size:
        return start + _HEAD.size
    _, length, _ = _HEAD.unpack_from(data, start)
    return start + _HEAD.size + length if length <= MAX_PAYLOAD_BYTES else None


def _is_sound(data: bytes, start: int, payload: bytes) -> bool:
    mark, length, checksum = _HEAD.unpack_from(data, start)
    return bool(mark == MARK and length == len(payload) and checksum == crc32(payload))


def _skip(found: Found, data: bytes, *, is_end: bool, is_torn: bool) -> None:
    """On to the next mark."""
    start = found.position
    found.position = data.find(MARK, start + 1)
    if found.position < 0:  # perhaps the data ends within one
        found.position = len(data) if is_end else max(start + 1, len(data) - len(MARK) + 1)
    skipped = found.position - start
    if is_torn and found.position == len(data):
        found.torn_bytes += skipped
    else:
        found.damaged_bytes += skipped
