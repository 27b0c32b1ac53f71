"""What is told of a finished request while somebody watches: its facts, no secrets and no bodies."""

from collections import Counter
from uuid import UUID

import msgspec

from usage.entry import UsageEntry

MAX_PATH, MAX_TEXT = 255, 100
"""Characters, as the ledger's columns have."""
MAX_RUNNING = 50
"""Of one process, and on one page: rows. The others are counted."""


class LiveRow(msgspec.Struct, array_like=True, frozen=True):
    """Perhaps told by a process of another version: a new field comes last, and has a default."""

    id: UUID
    started_at: float
    """Seconds since the epoch."""
    project_id: UUID | None
    token_id: UUID | None
    """None, as is the project: it came without a token that we know, and the ledger does not have it."""
    method: str
    path: str
    endpoint: str
    model: str
    is_stream: bool
    status: int | None
    outcome: str
    error_code: str
    first_byte_seconds: float | None
    duration_seconds: float
    input_tokens: int | None
    output_tokens: int | None
    cost_microusd: int | None
    """None: unpriced."""

    @classmethod
    def of(cls, entry: UsageEntry) -> "LiveRow":
        return cls(
            entry.id,
            entry.started_at,
            entry.project_id,
            entry.token_id,
            entry.method,
            entry.path[:MAX_PATH],
            entry.endpoint[:MAX_TEXT],
            entry.model[:MAX_TEXT],
            entry.is_stream,
            entry.status,
            entry.outcome,
            entry.error_code,
            entry.first_byte_seconds,
            entry.duration_seconds,
            entry.input_tokens,
            entry.output_tokens,
            entry.cost_microusd,
        )


class Running(msgspec.Struct, array_like=True, frozen=True):
    """What has begun in one process, and has not ended."""

    process: UUID
    counts: dict[UUID, int]
    """All, by project."""
    rows: list[LiveRow]
    """Those that began first: with all that is known of them so far."""

    @classmethod
    def of(cls, process: UUID, entries: list[UsageEntry]) -> "Running":
        """`entries`: of tokens that we know, in the order in which they began."""
        counts = Counter(entry.project_id for entry in entries if entry.project_id is not None)
        return cls(process, dict(counts), [LiveRow.of(entry) for entry in entries[:MAX_RUNNING]])


class Batch(msgspec.Struct, array_like=True, frozen=True):
    """The requests of a moment, in the order in which they ended."""

    rows: list[LiveRow]
    lost: int = 0
    """How many more there were."""
    running: Running | None = None
    """None: as it was told before."""

    def __len__(self) -> int:
        """All, lost or not."""
        return len(self.rows) + self.lost


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Batch).decode
"""Raises msgspec.DecodeError."""
