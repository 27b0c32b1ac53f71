"""One turn of a conversation: what a request is elsewhere. It holds its share of the limits, is settled with
the usage that upstream reports, and is one row of the ledger.
"""

import time
import uuid
from collections.abc import Callable

import uuid_utils

from proxy.bill import Bill
from proxy.errors import ProxyError
from proxy.metering.usage import Usage
from proxy.websockets.rules import Statement
from proxy.websockets.server_events import BYTES_PER_AUDIO_TOKEN
from proxy.websockets.state import Ask
from tokens.grant import Grant
from tokens.limits.values import Charge, Lease, LimitStore
from usage.entry import UsageEntry
from usage.outcomes import Outcome

METHOD = "TURN"
"""In the ledger, where requests have theirs."""


class Turn:
    """Admitted, and running until it is settled."""

    is_idle = False

    def __init__(
        self,
        grant: Grant,
        lease: Lease,
        bill: Bill,
        entry: UsageEntry,
        limits: LimitStore,
        cut: Callable[[ProxyError], None],
        event_id: str | None = None,
    ) -> None:
        """`event_id` is the client's, of the event that asked for it."""
        self.response_id = ""
        """Upstream's, once it has begun; where upstream gives it none, one of ours."""
        self.ask: Ask | None = None
        self.stated: Statement | None = None
        """None: there were no rules when it was asked for."""
        self.grant = grant
        self.lease = lease
        self.entry = entry
        self.event_id = event_id
        self.pieces = 0
        self.audio_bytes = 0
        self.cut = cut
        self._bill = bill
        self._limits = limits
        self._began = time.perf_counter()
        self._charged: Charge | None = None
        entry.is_admitted = True

    def drain_no_more(self) -> None:
        """It has a client as long as its conversation has."""

    def interrupt(self) -> None:
        """It ends with its conversation."""

    def reprice(self, bill: Bill, model: str) -> None:
        """Once it is certain which model answers."""
        self._bill = bill
        self.entry.model = model

    def used_microusd(self) -> int:
        return self._bill.used_microusd(self.pieces, self.audio_bytes // BYTES_PER_AUDIO_TOKEN)

    def note_piece(self, size: int, *, is_audio: bool) -> None:
        """Upstream has said something, in an event of this size."""
        if self.entry.first_byte_seconds is None:
            self.entry.first_byte_seconds = time.perf_counter() - self._began
        if is_audio:
            self.audio_bytes += size
        else:
            self.pieces += 1

    async def settle(self, usage: Usage | None, outcome: Outcome, *, is_free: bool = False) -> None:
        """The end: before the client can see it, its limits are as they are. The first word on how it ended,
        and on what it has cost, counts: who was interrupted in saying it says it again.
        """
        if self._charged is None:
            self.entry.outcome = outcome
            self.entry.duration_seconds = time.perf_counter() - self._began
            self._charged = self._charge(usage, self.entry.duration_seconds, is_free=is_free)
        await self._limits.settle(self.lease, self._charged)

    def _charge(self, usage: Usage | None, seconds: float, *, is_free: bool) -> Charge:
        if is_free:
            return self._bill.free(self.entry)
        audio_tokens = self.audio_bytes // BYTES_PER_AUDIO_TOKEN
        if usage is None:
            self.entry.audio_output_tokens = audio_tokens or None
        return self._bill.close(
            self.entry, usage, pieces=self.pieces + audio_tokens, bytes_heard=0, silent_seconds=seconds
        )


def new_entry(connection: UsageEntry, grant: Grant, model: str) -> UsageEntry:
    """The row of a turn, or of a transcription, of this connection."""
    return UsageEntry(
        id=uuid.UUID(int=uuid_utils.uuid7().int),
        started_at=time.time(),
        method=METHOD,
        path=connection.path,
        endpoint=connection.endpoint,
        token_id=grant.token_id,
        project_id=grant.project_id,
        is_stream=True,
        model=model,
        upstream_request_id=connection.upstream_request_id,
    )
