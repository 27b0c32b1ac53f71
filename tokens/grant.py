"""Grant: what a valid token allows, as plain data in memory. The data plane asks nothing else."""

import math
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from projects.capture import CaptureRule
from projects.models import DeathPolicy, UnpricedPolicy
from projects.ruleset import Ruleset
from tokens.limits.values import Subject


@dataclass(frozen=True, slots=True)
class RingKey:
    """One of the upstream keys that a project has."""

    id: UUID
    value: str = field(repr=False)
    weight: int = 1
    """How often it is used, beside the others."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Instants are seconds since the epoch; infinity: never."""

    token_id: UUID
    project_id: UUID
    digest: str
    """Of the plain text that it was found by: a token has two while it is rotated."""
    token_active: bool
    token_revoked: bool
    project_active: bool
    expires_at: float
    base_url: str
    """Empty: its provider's."""
    upstream_keys: tuple[RingKey, ...]
    """Empty: the project has no usable upstream key."""
    provider: str = ""
    """By name; empty: the first."""
    upstream_headers: tuple[tuple[bytes, bytes], ...] = ()
    """What its project says of who pays, for upstream."""
    permits_leading_past_us: bool = False
    idle_expires_at: float = math.inf
    """As the last use was known when this was read; a running request keeps its token alive."""
    digest_dies_at: float = math.inf
    """When the plain text stops working that was rotated away."""
    subjects: tuple[Subject, ...] = ()
    """The token and its project, as far as they have limits."""
    death_policy: DeathPolicy = DeathPolicy.CUT
    drain_seconds: int = 0
    """How long upstream's answer is read on when the client hangs up; 0: not at all."""
    unpriced_policy: UnpricedPolicy = UnpricedPolicy.ALLOW
    flat_price_microusd: int = 0
    permits_renewal: bool = False
    rules: Ruleset | None = None
    """Of the token and its project together; None: there are none."""
    capture: CaptureRule | None = None
    """What is kept of bodies; None: nothing."""
    token_name: str = ""
    project_name: str = ""
    created_at: datetime | None = None
    expires_at_text: bytes = b"never"
    """When it, or this plain text of it, stops working: RFC 3339, for a header."""

    has_budget: bool = field(init=False)
    counts_usage: bool = field(init=False)
    """Whether a limit depends on what a request asks of a model."""

    def __post_init__(self) -> None:
        limits = [
            subject.limits for subject in self.subjects
        ]  # once a grant: each request asks several times
        has_budget = any(limit.has_budget for limit in limits)
        counts_usage = has_budget or any(limit.max_model_tokens_per_minute is not None for limit in limits)
        object.__setattr__(self, "has_budget", has_budget)
        object.__setattr__(self, "counts_usage", counts_usage)
