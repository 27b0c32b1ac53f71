"""What the management API takes and gives of the audit trail."""

from typing import Annotated, Any
from uuid import UUID

from ninja import Schema
from pydantic import Field

from llm_proxy_site.api.paging import Paging
from llm_proxy_site.api.schemas import NO_NUL, Asked, Instant, Moment

Word = Annotated[str, Field(max_length=150, pattern=NO_NUL)]


class AuditEvent(Schema):
    """One of a chain: `hash` is over all of it, and `previous_hash` that of the event before."""

    sequence: int
    id: UUID
    occurred_at: Instant
    actor: str
    action: str
    subject_type: str
    subject_id: str
    subject_name: str
    project_id: UUID | None
    address: Annotated[str, Field(description="Of the client; empty for commands.")]
    request_id: UUID | None
    details: dict[str, Any]
    previous_hash: str
    hash: str


class Verification(Schema):
    """The newest one's result; all null if there was none. `events`: those that are as they were recorded;
    `broken_at`: the number of the first that is not, or is missing, and `problem` says which of both.
    """

    verified_at: Instant | None
    actor: str | None
    is_intact: bool | None
    events: int | None
    broken_at: int | None
    problem: str | None


class EventFilters(Asked):
    """`since` is in, `until` is not."""

    actor: Annotated[Word | None, Field(examples=["user:ada"])] = None
    action: Annotated[Word | None, Field(examples=["token.revoked"])] = None
    subject_type: Word | None = None
    subject_id: Word | None = None
    project_id: UUID | None = None
    address: Word | None = None
    request_id: UUID | None = None
    search: Annotated[Word | None, Field(description="In the actor, and in the subject's name.")] = None
    since: Moment | None = None
    until: Moment | None = None


class AuditFilters(Paging, EventFilters):
    pass
