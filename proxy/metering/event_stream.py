"""Server-sent events, decoded without I/O: `feed(bytes)` gives the data of the events that ended.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation, for lines that
end in LF or CRLF, which is what OpenAI and compatible servers send.
"""

from collections.abc import Callable, Iterable, Iterator

from proxy.metering.excerpt import Excerpt

MAX_EVENT_BYTES = 256 * 1024


class EventStreamDecoder:
    """Of an event of more than MAX_EVENT_BYTES an excerpt is kept and told: memory stays bounded."""

    def __init__(
        self,
        max_event_bytes: int = MAX_EVENT_BYTES,
        on_long: Callable[[Excerpt], None] = lambda excerpt: None,
    ) -> None:
        self._max_event_bytes = max_event_bytes
        self._on_long = on_long
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0
        self._excerpt: Excerpt | None = None

    def feed(self, chunk: bytes) -> Iterable[bytes]:
        """The `data` of every event that this chunk completes."""
        start = self._start_of_one(chunk)
        if start:
            return (chunk[start:-2].removesuffix(b"\r"),)
        return self._take_lines(chunk)

    def _take_lines(self, chunk: bytes) -> Iterator[bytes]:
        """A generator: long events are told in their place between the others."""
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            event = self._take_line(line.removesuffix(b"\r"))
            if event is not None:
                yield event
        self._bound_rest()

    def _start_of_one(self, chunk: bytes) -> int:
        """Where the data begins if the chunk is one event, as almost always, and then there is little to do;
        0: it is not.
        """
        size = len(chunk)
        if self._rest or self._data or self._excerpt or size > self._max_event_bytes:
            return 0
        start = chunk.find(b"\n") + 1 if chunk.startswith(b"event: ") else 0
        is_one = chunk.startswith(b"data: ", start) and chunk.find(b"\n", start) == size - 2
        return start + 6 if is_one and chunk.endswith(b"\n") else 0

    def _take_line(self, line: bytes) -> bytes | None:
        if line:
            self._keep(line)
            return None
        event = b"\n".join(self._data) if self._data else None
        excerpt = self._excerpt
        self._data, self._size, self._excerpt = [], 0, None
        if excerpt is not None:
            self._on_long(excerpt)
        return event

    def _keep(self, line: bytes) -> None:
        if not line.startswith(b"data:"):
            return
        self._size += len(line)
        self._data.append(line[5:].removeprefix(b" "))
        if self._size > self._max_event_bytes:
            self._excerpt_data()

    def _excerpt_data(self) -> None:
        if self._excerpt is None:
            self._excerpt = Excerpt()
        self._excerpt.feed(b"\n".join(self._data))
        self._data = []

    def _bound_rest(self) -> None:
        if len(self._rest) <= self._max_event_bytes:
            return
        if self._rest.startswith(b"data:"):
            self._keep(self._rest)
        self._rest = self._rest[:5]  # how the line begins is what still matters
