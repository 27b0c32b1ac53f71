"""UsageEntry: the facts of one proxied request while it runs and until the ledger has written them.

Plain data without the ORM: the data plane fills it in step by step, the ledger's writer reads it once.
Meanwhile it lies on disk, written perhaps by an older version: a new field has a default, and no default
changes.
"""

from dataclasses import dataclass
from uuid import UUID

import msgspec

from usage.outcomes import CostSource, Outcome, UsageSource

COUNTS = (
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "cache_write_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "image_input_tokens",
    "image_output_tokens",
    "audio_seconds",
)
"""What upstream has counted, by the names of an entry's fields and of their columns."""


class UsageEntry(msgspec.Struct, kw_only=True, omit_defaults=True):
    id: UUID
    started_at: float
    """Seconds since the epoch."""
    method: str
    path: str
    project_id: UUID | None = None
    token_id: UUID | None = None
    endpoint: str = ""
    is_stream: bool = False
    model: str = ""
    outcome: Outcome = Outcome.INTERRUPTED
    status: int | None = None
    error_code: str = ""
    shadow_refusals: str = ""
    """Codes, separated by commas."""
    is_admitted: bool = False
    attempts: int = 0
    """How often upstream was asked."""
    usage_source: UsageSource = UsageSource.NONE
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cache_write_tokens: int | None = None
    audio_input_tokens: int | None = None
    audio_output_tokens: int | None = None
    image_input_tokens: int | None = None
    image_output_tokens: int | None = None
    audio_seconds: float | None = None
    service_tier: str = ""
    cost_source: CostSource = CostSource.FREE
    cost_microusd: int | None = 0
    duration_seconds: float = 0.0
    first_byte_seconds: float | None = None
    upstream_processing_seconds: float | None = None
    upstream_request_id: str = ""
    request_bytes: int = 0
    response_bytes: int = 0

    work_id: str = ""
    """Of what goes on upstream by itself. No column, nor are the next ones."""
    begins_work: bool = False
    finished: "Finished | None" = None
    """What the work has come to that the request has found finished."""
    overhead_seconds: float | None = None
    """What we added to the time until the head of upstream's answer went out."""
    limit_reached: str = ""
    """The name of the limit that refused it."""

    def note_shadow(self, code: str) -> None:
        """That a rule in shadow mode would have refused the request with this code."""
        noted = self.shadow_refusals.split(",") if self.shadow_refusals else []
        if code not in noted:
            self.shadow_refusals = ",".join([*noted, code])


@dataclass(frozen=True, slots=True)
class Finished:
    """What upstream says of work that goes on no more. Its cost depends on its creation."""

    used: UsageEntry | None
    """The model and the usage, which is `estimated` and empty where it was cancelled; None: it has failed."""
    cached_audio_tokens: int | None = None
    is_batch: bool = False
