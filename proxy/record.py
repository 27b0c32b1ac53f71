"""The record of one request: written down once, before its client can see the end.

So whatever a client was told has ended is on disk, should this process be killed the moment after. What was
written stands, even if the last bytes then do not reach the client.
"""

from collections.abc import Callable
from typing import Protocol

from proxy.tracing.trace import Trace
from usage.entry import UsageEntry

Write = Callable[[UsageEntry, Trace | None], None]


class ClientSide(Protocol):
    trace: Trace | None
    status: int | None
    first_byte_seconds: float | None
    head_seconds: float | None
    waited_seconds: float
    received_bytes: int
    sent_bytes: int
    before_end: Callable[[int], None]

    def elapsed_seconds(self) -> float: ...


class Record:
    def __init__(self, entry: UsageEntry, client: ClientSide, write: Write) -> None:
        """Sealed when `client` is about to see the end, or before. Until then each holds the other."""
        client.before_end = self.seal
        self._entry = entry
        self._client = client
        self._write = write
        self._is_sealed = False

    def seal(self, coming_bytes: int = 0) -> None:
        """The end: so many bytes, the last, are about to go out. Once; again is harmless."""
        if self._is_sealed:
            return
        self._is_sealed = True
        entry, client = self._entry, self._client
        client.before_end = _nothing_to_do
        entry.status = client.status
        entry.request_bytes, entry.response_bytes = client.received_bytes, client.sent_bytes + coming_bytes
        entry.duration_seconds = client.elapsed_seconds()
        entry.first_byte_seconds = client.first_byte_seconds
        if entry.first_byte_seconds is None and coming_bytes:
            entry.first_byte_seconds = entry.duration_seconds
        if client.head_seconds is not None and entry.attempts:
            entry.overhead_seconds = client.head_seconds - client.waited_seconds
        self._write(entry, client.trace)


def _nothing_to_do(coming_bytes: int) -> None:
    """It is done."""
