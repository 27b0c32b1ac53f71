"""What the management API takes and gives of access tokens: the facts of facts.py, typed."""

from typing import Annotated, Any
from uuid import UUID

from ninja import Schema
from pydantic import Field

from llm_proxy_site.api.paging import Paging
from llm_proxy_site.api.schemas import (
    NO_NUL,
    Body,
    Id,
    Instant,
    Lifetime,
    Limits,
    Moment,
    Name,
    Period,
    ShownLimits,
)
from projects.schemas import Rules
from tokens.lifecycle import MAX_COUNT


class TokenNew(Body, Limits):
    project_id: Id
    name: Annotated[Name, Field(examples=["nightly build"])] = ""
    ttl: Annotated[Lifetime | None, Field(description="null: as the project says.")] = None
    idle_ttl: Annotated[Lifetime | None, Field(description="It dies when it is unused for so long.")] = None
    rules: Annotated[Rules | None, Field(description="Within those of the project: docs/policy.md")] = None

    def given(self) -> dict[str, Any]:
        values = super().given()
        del values["project_id"]
        return values


class TokenBatch(TokenNew):
    """`name`: of `ci` they are called `ci-1`, `ci-2`, ..."""

    count: Annotated[int, Field(ge=1, le=MAX_COUNT, examples=[3])]


class TokenEdit(Body, Limits):
    """What is not named stays as it is. Lifetimes are extended, not edited."""

    name: Name = ""
    rules: Rules | None = None

    def given(self) -> dict[str, Any]:
        values = super().given()
        return {**values, "rules": values["rules"] or {}} if "rules" in values else values


class Rotation(Body):
    grace: Annotated[Period | None, Field(description="How long the old one goes on: 1h if not said.")] = None


class Extension(Body):
    ttl: Annotated[Lifetime, Field(description="From now, as the project permits.")]


class Revocation(Body):
    """Those tokens to which all of it applies; of an empty one, all of the project."""

    name: Annotated[
        str | None, Field(max_length=200, pattern=NO_NUL, description="* is any text, ? one character.")
    ] = None
    older_than: Period | None = None
    unused_for: Period | None = None
    dry_run: bool = False


class Revoked(Schema):
    revoked: int
    dry_run: bool


class Token(ShownLimits):
    id: UUID
    name: str
    display: Annotated[str, Field(description="What may be shown of it.", examples=["sk-wt-…abcd"])]
    project_id: UUID
    project: str
    state: str
    ttl: str | None
    expires_at: Instant | None
    idle_ttl: str | None
    idle_expires_at: Instant | None
    previous_token_dies_at: Instant | None
    rules: dict[str, Any] | None
    request_count: int
    created_at: Instant
    renewed_at: Instant | None
    last_used_at: Instant | None


class IssuedToken(Token):
    token: Annotated[
        str | None,
        Field(description="The plain text: here, and nowhere again. null in an answer that is told again."),
    ]


class IssuedTokens(Schema):
    data: list[IssuedToken]


class TokenFilters(Paging):
    project_id: UUID | None = None
    name: Annotated[
        str | None, Field(max_length=200, pattern=NO_NUL, description="* is any text, ? one character.")
    ] = None
    is_active: bool | None = None
    is_revoked: bool | None = None
    last_four: Annotated[str | None, Field(pattern=r"^[0-9A-Za-z_-]{4}$")] = None
    expires_before: Moment | None = None
    unused_since: Moment | None = None
