"""What the management API takes and gives of projects and upstream keys: the facts of facts.py, typed."""

from typing import Annotated, Any
from uuid import UUID

from ninja import Path, Schema
from pydantic import Field

from llm_proxy_site.api.paging import Paging
from llm_proxy_site.api.schemas import (
    NO_NUL,
    Body,
    EndingLifetime,
    Instant,
    Limits,
    Name,
    Period,
    ShownLimits,
    Text,
    Usd,
)
from projects.capture import DEFAULT_RETENTION, MAX_NAME, MAX_NAMES, MIN_BYTES, CapturePolicy
from projects.models import MAX_DRAIN_SECONDS, MAX_WEIGHT, DeathPolicy, DisconnectPolicy, UnpricedPolicy

Rules = Annotated[dict[str, Any], Field(description="docs/policy.md", examples=[{"models": ["gpt-4o*"]}])]
Secret = Annotated[str, Field(min_length=8, max_length=512, pattern=r"^[\x21-\x7e]+$", examples=["sk-..."])]
Weight = Annotated[int, Field(ge=1, le=MAX_WEIGHT)]
CapturedName = Annotated[
    str, Field(max_length=MAX_NAME, pattern=NO_NUL, examples=["messages[].content", "**.user"])
]
EMPTY_WHERE_NULL = ("base_url", "provider", "upstream_organization", "upstream_project")


class ProjectFields(Body, Limits):
    """null: as docs/commands.md says of `none`."""

    base_url: Annotated[Text | None, Field(examples=["https://api.openai.com/v1"])] = None
    provider: Name | None = None
    upstream_organization: Name | None = None
    upstream_project: Name | None = None
    permits_leading_past_us: bool = False
    default_ttl: EndingLifetime | None = None
    longest_ttl: EndingLifetime | None = None
    permits_never: bool = False
    permits_renewal: bool = False
    death_policy: Annotated[DeathPolicy, Field(strict=False)] = DeathPolicy.CUT
    disconnect_policy: Annotated[DisconnectPolicy, Field(strict=False)] = DisconnectPolicy.CANCEL
    drain_seconds: Annotated[int, Field(ge=1, le=MAX_DRAIN_SECONDS)] = 60
    unpriced_policy: Annotated[UnpricedPolicy, Field(strict=False)] = UnpricedPolicy.ALLOW
    flat_price_usd: Usd | None = None
    rules: Rules | None = None
    capture_policy: Annotated[CapturePolicy, Field(strict=False)] = CapturePolicy.OFF
    capture_sample: Annotated[float, Field(ge=0, le=1, strict=False)] = 1.0
    capture_max_bytes: Annotated[int, Field(ge=MIN_BYTES, le=2**31 - 1)] = 64 * 1024
    capture_retention: Period = DEFAULT_RETENTION
    capture_redacted: Annotated[list[CapturedName], Field(max_length=MAX_NAMES)] = []
    capture_redacts_addresses: bool = True

    def given(self) -> dict[str, Any]:
        values = super().given()
        empty: dict[str, Any] = {**dict.fromkeys(EMPTY_WHERE_NULL, ""), "rules": {}}
        return {
            name: empty[name] if value is None and name in empty else value for name, value in values.items()
        }


class ProjectNew(ProjectFields):
    name: Annotated[Name, Field(min_length=1, examples=["web"])]
    upstream_key: Secret


class ProjectEdit(ProjectFields):
    """What is not named stays as it is."""

    name: Annotated[Name, Field(min_length=1)] = ""
    is_active: bool = True


class Project(ShownLimits):
    id: UUID
    name: str
    base_url: str | None
    provider: str | None
    upstream_organization: str | None
    upstream_project: str | None
    permits_leading_past_us: bool
    is_active: bool
    upstream_keys: list[str]
    default_ttl: str | None
    longest_ttl: str | None
    permits_never: bool
    permits_renewal: bool
    death_policy: str
    disconnect_policy: str
    drain_seconds: int
    unpriced_policy: str
    flat_price_usd: str | None
    rules: dict[str, Any] | None
    capture_policy: str
    capture_sample: float
    capture_max_bytes: int
    capture_retention: str
    capture_redacted: list[str]
    capture_redacts_addresses: bool
    created_at: Instant


class UpstreamKeyNew(Body):
    key: Secret
    name: Name = ""
    weight: Weight = 1


class UpstreamKeyEdit(Body):
    """What is not named stays as it is."""

    name: Name = ""
    weight: Weight = 1
    is_active: bool = True


class UpstreamKey(Schema):
    """`key`: its last four characters. The rest is in no answer."""

    id: UUID
    project_id: UUID
    project: str
    name: str | None
    key: str
    weight: int
    is_active: bool
    health: str
    last_failure_code: str | None
    last_failed_at: Instant | None
    cooling_until: Instant | None
    created_at: Instant


class ProjectFilters(Paging):
    name: Annotated[
        str | None, Field(max_length=100, pattern=NO_NUL, description="A part of it, in any case.")
    ] = None
    is_active: bool | None = None


Username = Annotated[str, Path(min_length=1, max_length=150, pattern=NO_NUL, examples=["ada"])]
"""In a path."""


class Member(Schema):
    project_id: UUID
    project: str
    username: str
    role: Annotated[str | None, Field(description="What they may do there. null: nothing, unless superuser.")]
    is_active: bool
    since: Instant
