"""What the data plane hands over of a request: its bodies' bytes as they came, bounded, in memory only."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from projects.capture import CaptureRule

EVENT_STREAM = "text/event-stream"
CODINGS = ("identity", "gzip")
CAPTURE_BYTES = 2048
"""What a capture takes besides its bodies."""


class Room:
    """How many bytes all captures of a process may hold, from a request's beginning until they are written.
    From any thread.
    """

    def __init__(self, max_bytes: int) -> None:
        self._left_bytes = max_bytes
        self._lock = threading.Lock()

    def take(self, size_bytes: int) -> bool:
        """False: there is no room for so many, and none was taken."""
        with self._lock:
            if size_bytes > self._left_bytes:
                return False
            self._left_bytes -= size_bytes
            return True

    def give_back(self, size_bytes: int) -> None:
        with self._lock:
            self._left_bytes += size_bytes


@dataclass(slots=True)
class RawBody:
    media_type: str = ""
    """As the headers say it; empty: they do not."""
    coding: str = "identity"
    size_bytes: int = 0
    """Of all that came."""
    data: bytearray = field(default_factory=bytearray)
    """Its beginning. Nothing of what is not readable."""
    is_readable: bool = field(init=False)
    """Whether it can be read, and so redacted: JSON and streams of events can."""

    def __post_init__(self) -> None:
        is_json = self.media_type == "application/json" or (
            self.media_type.startswith("application/") and self.media_type.endswith("+json")
        )
        self.is_readable = self.coding in CODINGS and (is_json or self.media_type == EVENT_STREAM)


@dataclass(slots=True)
class RawCapture:
    request_id: UUID
    project_id: UUID
    started_at: float
    """Seconds since the epoch."""
    rule: CaptureRule
    give_back: Callable[[int], None]
    request: RawBody = field(default_factory=RawBody)
    answer: RawBody = field(default_factory=RawBody)
    held_bytes: int = CAPTURE_BYTES

    def forget(self) -> None:
        """Its room is others'. Once; again is harmless."""
        self.give_back(self.held_bytes)
        self.held_bytes = 0
        self.request, self.answer = RawBody(), RawBody()
