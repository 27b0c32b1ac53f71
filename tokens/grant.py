"""Grant: what a valid token allows, as plain data in memory. The data plane asks nothing else."""

from dataclasses import dataclass, field
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Grant:
    token_id: UUID
    project_id: UUID
    token_active: bool
    token_revoked: bool
    project_active: bool
    expires_at: float
    """Seconds since the epoch; infinity for a token that never expires."""
    max_requests: int | None
    request_count: int
    """Requests admitted before this grant was loaded, as the database had it."""
    base_url: str
    upstream_key: str | None = field(repr=False)
    """None: the project has no usable upstream key."""
