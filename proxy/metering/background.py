"""Work that goes on upstream when its request has ended: background responses, batches, assistants' runs."""

from dataclasses import dataclass

import msgspec

LONGEST_ID = 100
_BROKEN_OFF = frozenset({"failed", "cancelled"})
_FINISHED = frozenset({"completed", "incomplete", "expired"}) | _BROKEN_OFF


@dataclass(frozen=True, slots=True)
class Work:
    id: str
    """Upstream's, such as `resp_…`."""
    is_finished: bool
    is_batch: bool
    is_broken_off: bool = False
    """Finished before its end: it may have no usage."""
    is_cancelled: bool = False
    """By its client, and not for a fault of upstream's."""


class _Object(msgspec.Struct):
    id: str = ""
    object: str = ""
    background: bool | None = None
    status: str | None = None


class _Document(_Object):
    response: _Object | None = None


_decoder = msgspec.json.Decoder(_Document)


def read_work(document: bytes) -> Work | None:
    """What a JSON answer, or an event, is about; None if that is no such work."""
    try:
        found: _Object = _decoder.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if isinstance(found, _Document) and found.response is not None:
        found = found.response
    is_batch = found.object == "batch"
    if not _is_id(found.id) or not (is_batch or found.background or found.object == "thread.run"):
        return None
    status = found.status
    return Work(found.id, status in _FINISHED, is_batch, status in _BROKEN_OFF, status == "cancelled")


def _is_id(text: str) -> bool:
    """Whether it can be one of upstream's, and kept as such."""
    return 0 < len(text) <= LONGEST_ID and text.isascii() and text.isprintable()
