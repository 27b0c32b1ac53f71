"""Server-sent events, decoded without I/O: `feed(bytes)` gives the data of the events that ended.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation, for lines that
end in LF or CRLF, which is what OpenAI and compatible servers send.
"""

from collections.abc import Iterable, Iterator

import msgspec

from proxy.metering.excerpt import Excerpt

MAX_EVENT_BYTES = 256 * 1024
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_any_json = msgspec.json.Decoder(msgspec.Raw)


class EventStreamDecoder:
    """Of an event of more than MAX_EVENT_BYTES an excerpt is kept and given: memory stays bounded."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._rest: list[bytes] = []
        """The beginning of a line, as it came: it is put together once."""
        self._rest_bytes = 0
        self._has_begun = False
        self._data: list[bytes] = []
        self._size = 0
        self._excerpt: Excerpt | None = None

    def feed(self, chunk: bytes) -> Iterable[bytes | Excerpt]:
        """The `data` of every event that this chunk completes."""
        start = self.start_of_one(chunk)
        return (chunk[start:-2].removesuffix(b"\r"),) if start else self._take_lines(chunk)

    def start_of_one(self, chunk: bytes) -> int:
        """Where the data begins if the chunk is one event, as almost always, and then there is little to do;
        0: it is not.
        """
        if not chunk.endswith(b"\n\n") or self._rest or self._size or len(chunk) > self._max_event_bytes:
            return 0
        start = 0 if chunk.startswith(b"data: ") else chunk.find(b"\n") + 1
        is_one = chunk.find(b"\n", start) == len(chunk) - 2
        if start == 0:
            return 6 if is_one else 0
        is_named = chunk.startswith(b"event: ") and chunk.startswith(b"data: ", start)
        return start + 6 if is_one and is_named else 0

    def _take_lines(self, chunk: bytes) -> Iterator[bytes | Excerpt]:
        if b"\n" in chunk:
            self._rest.append(chunk)
            lines = b"".join(self._rest).split(b"\n")
            self._set_rest(lines.pop())
            if not self._has_begun:
                self._has_begun, lines[0] = True, lines[0].removeprefix(_BYTE_ORDER_MARK)
            for line in lines:
                if line.startswith(b"data:"):
                    self._keep(line)
                elif not line or line == b"\r":
                    event = self._end_event() if self._size else None
                    if event is not None:
                        yield event
        elif chunk:
            self._rest.append(chunk)
            self._rest_bytes += len(chunk)
        if self._rest_bytes > self._max_event_bytes:
            self._bound_rest()

    def take_rest(self) -> bytes | None:
        """The data of an event without its end, if it is all there: not all write the last blank line."""
        if self._excerpt is not None:
            return None
        line = b"".join(self._rest).removesuffix(b"\r")
        if not self._has_begun:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        data = [*self._data, _data_of(line)] if line.startswith(b"data:") else self._data
        event = b"\n".join(data)
        if not _is_whole(event):
            return None
        self._set_rest(b"")
        self._data, self._size = [], 0
        return event

    def _set_rest(self, rest: bytes) -> None:
        self._rest, self._rest_bytes = [rest] if rest else [], len(rest)

    def _end_event(self) -> bytes | Excerpt | None:
        event = b"\n".join(self._data) if self._data else None
        excerpt = self._excerpt
        self._data, self._size, self._excerpt = [], 0, None
        return event if excerpt is None else excerpt

    def _keep(self, line: bytes) -> None:
        self._size += len(line)
        self._data.append(_data_of(line.removesuffix(b"\r")))
        if self._size > self._max_event_bytes:
            self._excerpt_data()

    def _excerpt_data(self) -> None:
        if self._excerpt is None:
            self._excerpt = Excerpt()
        self._excerpt.feed(b"\n".join(self._data))
        self._data = []

    def _bound_rest(self) -> None:
        line = b"".join(self._rest)
        if line.startswith(b"data:"):
            self._keep(line)
        self._set_rest(line[:5])  # how the line begins is what still matters


def _data_of(line: bytes) -> bytes:
    return line[5:].removeprefix(b" ")


def _is_whole(event: bytes) -> bool:
    if event == b"[DONE]":
        return True
    try:
        _any_json.decode(event)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return event.startswith(b"{")
