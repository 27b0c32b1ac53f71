"""Server-sent events, decoded without I/O: `feed(bytes)` gives the data of the events that ended.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation, for lines that
end in LF or CRLF, which is what OpenAI and compatible servers send.
"""

from collections.abc import Iterator

MAX_EVENT_BYTES = 1024 * 1024


class EventStreamDecoder:
    """An event of more than MAX_EVENT_BYTES is passed over: memory stays bounded, the stream goes on."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0
        self._skipping = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The `data` of every event that this chunk completes."""
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            event = self._take_line(line.removesuffix(b"\r"))
            if event is not None:
                yield event
        self._bound_rest()

    def _take_line(self, line: bytes) -> bytes | None:
        if line:
            self._keep(line)
            return None
        event = b"\n".join(self._data) if self._data and not self._skipping else None
        self._data, self._size, self._skipping = [], 0, False
        return event

    def _keep(self, line: bytes) -> None:
        if not line.startswith(b"data:"):
            return
        self._size += len(line)
        if self._size > self._max_event_bytes:
            self._data, self._skipping = [], True
        if not self._skipping:
            self._data.append(line[5:].removeprefix(b" "))

    def _bound_rest(self) -> None:
        if len(self._rest) > self._max_event_bytes:
            # Only the line's beginning matters now: that it is not empty, and that its event is too long.
            self._rest = self._rest[:5]
            self._data, self._skipping = [], True
