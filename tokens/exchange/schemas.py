"""What the management API takes and gives of trust rules: the facts of facts.py, typed."""

from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from llm_proxy_site.api.paging import Paging
from llm_proxy_site.api.schemas import (
    NO_NUL,
    Body,
    EndingLifetime,
    Id,
    Instant,
    Limits,
    Name,
    ShownLimits,
    Text,
)
from projects.schemas import Rules
from tokens.exchange.claims import MAX_CLAIMS, MAX_GLOBS, MAX_TEXT
from tokens.exchange.issuers import MAX_URL

Glob = Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
Claims = Annotated[
    dict[str, Annotated[list[Glob], Field(min_length=1, max_length=MAX_GLOBS)]],
    Field(
        min_length=1,
        max_length=MAX_CLAIMS,
        description="All must hold; the texts of one are alternatives. * is any text, ? one character.",
        examples=[{"repository": ["acme/web"], "ref": ["refs/heads/main", "refs/tags/v*"]}],
    ),
]
Issuer = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_URL,
        description="An https URL, as JWTs have it in `iss`.",
        examples=["https://token.actions.githubusercontent.com"],
    ),
]
Audience = Annotated[
    Text,
    Field(
        min_length=1,
        description="What JWTs must have in `aud`: a name for this proxy.",
        examples=["https://llm-proxy.example.com"],
    ),
]


class TrustRuleFields(Body, Limits):
    """Limits and rules are those of each token that is issued."""

    ttl: Annotated[EndingLifetime, Field(description="Of each token.")] = timedelta(hours=1)
    is_active: bool = True
    rules: Annotated[Rules | None, Field(description="Within those of the project: docs/policy.md")] = None

    def given(self) -> dict[str, Any]:
        values = super().given()
        values.pop("project_id", None)
        return {**values, "rules": values["rules"] or {}} if "rules" in values else values


class TrustRuleNew(TrustRuleFields):
    name: Annotated[Name, Field(min_length=1, examples=["web ci"])]
    project_id: Id
    issuer: Issuer
    audience: Audience
    claims: Claims


class TrustRuleEdit(TrustRuleFields):
    """What is not named stays as it is; `claims` replaces them all."""

    name: Annotated[Name, Field(min_length=1)] = ""
    project_id: Id | None = None
    issuer: Issuer = ""
    audience: Audience = ""
    claims: Claims = {}


class TrustRule(ShownLimits):
    id: UUID
    name: str
    project_id: UUID
    project: str
    is_active: bool
    issuer: str
    audience: str
    claims: dict[str, list[str]]
    ttl: str
    rules: dict[str, Any] | None
    created_at: Instant
    last_used_at: Instant | None


class TrustRuleFilters(Paging):
    project_id: UUID | None = None
    name: Annotated[
        str | None, Field(max_length=100, pattern=NO_NUL, description="A part of it, in any case.")
    ] = None
    issuer: Annotated[str | None, Field(max_length=MAX_URL, pattern=NO_NUL)] = None
    is_active: bool | None = None
