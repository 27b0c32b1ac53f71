"""Where an answer's stream of events stands: an error of ours can only be said between two of them."""

from proxy.headers import media_type
from proxy.types import Headers

_SPEAK_OF_THE_BODY = frozenset({b"content-encoding", b"content-length"})
_EVENT_ENDS = (b"\n\n", b"\r\n\r\n")


def is_plain_event_stream(headers: Headers) -> bool:
    """Whether an event of ours can be added to an answer with these headers."""
    return media_type(headers) == b"text/event-stream" and _SPEAK_OF_THE_BODY.isdisjoint(
        [name for name, _ in headers]
    )


class EventsSent:
    def __init__(self) -> None:
        self._tail = b""

    @property
    def is_between(self) -> bool:
        return not self._tail or self._tail.endswith(_EVENT_ENDS)

    def note(self, chunk: bytes) -> None:
        self._tail = chunk if len(chunk) >= 4 else self._tail[-4:] + chunk

    def up_to_end(self, chunk: bytes) -> bytes:
        """The beginning of the next chunk, as far as the event ends that has begun; all if it does not."""
        tail = self._tail[-4:]
        text, sent = tail + chunk, len(tail)
        found = [(text.find(end, max(0, sent - len(end) + 1)), len(end)) for end in _EVENT_ENDS]
        ends = [start + length for start, length in found if start >= 0]
        return chunk[: min(ends) - sent] if ends else chunk
