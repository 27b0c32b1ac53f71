"""What the management API takes and gives of usage and prices."""

from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from ninja import Schema
from pydantic import Field, PlainValidator, WithJsonSchema

from llm_proxy_site.api.paging import Paging
from llm_proxy_site.api.schemas import NO_NUL, Asked, Body, Instant, Moment, Period
from usage.outcomes import Outcome
from usage.summaries import GroupBy


class UsageRecord(Schema):
    """Of one request. Token counts and the cost are null where they are unknown."""

    id: UUID
    project_id: UUID
    token_id: UUID
    started_at: Instant
    method: str
    endpoint: str
    path: str
    is_stream: bool
    model: str
    outcome: str
    status: int | None
    error_code: str
    shadow_refusals: str
    is_admitted: bool
    attempts: int
    usage_source: str
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    cache_write_tokens: int | None
    audio_input_tokens: int | None
    audio_output_tokens: int | None
    image_input_tokens: int | None
    image_output_tokens: int | None
    audio_seconds: float | None
    service_tier: str
    cost_source: str
    cost_usd: str | None
    duration_seconds: float
    first_byte_seconds: float | None
    upstream_processing_seconds: float | None
    upstream_request_id: str
    request_bytes: int
    response_bytes: int


class CapturedBody(Schema):
    media_type: str
    size_bytes: Annotated[int, Field(description="Of all that came.")]
    text: Annotated[str | None, Field(description="Redacted. null: nothing is kept, and `note` says why.")]
    is_cut: bool
    note: str


class Capture(Schema):
    id: UUID
    request: CapturedBody
    answer: CapturedBody


class DeletedCaptures(Schema):
    deleted: Annotated[int, Field(description="Requests.")]


class UsageFilters(Paging):
    """`since` is in, `until` is not."""

    project_id: UUID | None = None
    token_id: UUID | None = None
    model: Annotated[str | None, Field(max_length=100, pattern=NO_NUL)] = None
    outcome: Outcome | None = None
    error_code: Annotated[str | None, Field(max_length=60, pattern=NO_NUL)] = None
    since: Moment | None = None
    until: Moment | None = None


class SummaryQuery(Asked):
    """Of a span of whole hours, or of whole UTC days where it is longer than a week or grouped by day."""

    group_by: GroupBy = GroupBy.DAY
    last: Annotated[
        Period | None, Field(description="So far back from now; 24h if no instants are given.")
    ] = None
    since: Moment | None = None
    until: Annotated[Moment | None, Field(description="Now, if it is not given.")] = None
    project_id: UUID | None = None
    token_id: UUID | None = None
    limit: Annotated[int, Field(ge=1, le=500, description="Groups, the dearest first.")] = 50


class Sums(Schema):
    requests: int
    refused: int
    upstream_failed: int
    upstream_cut: int
    cut: int
    client_closed: int
    interrupted: int
    upstream_errors: int
    unpriced: int
    shadow_refusals: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost_usd: str


class Latency(Schema):
    """Of the `requests` that upstream answered, right within 9 %. null: there were none."""

    requests: int
    duration_p50_seconds: float | None
    duration_p95_seconds: float | None
    first_byte_p50_seconds: float | None
    first_byte_p95_seconds: float | None


class Group(Sums):
    key: Annotated[str, Field(description="An id, a model, or the instant at which an hour or day begins.")]
    name: Annotated[str | None, Field(description="Of a project or token, as long as it is there.")]
    latency: Annotated[Latency | None, Field(description="Of an hour or a day; null for other groups.")]


class Summary(Schema):
    since: Instant
    until: Instant
    period: Literal["hour", "day"]
    group_by: GroupBy
    total: Sums
    latency: Annotated[Latency | None, Field(description="null of one token: it is known of projects only.")]
    data: list[Group]


def _read_price(value: Any) -> Decimal:
    """A price can be 0. Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError("A price is a text.")
    try:
        price = Decimal(value)
    except ArithmeticError:
        price = Decimal("NaN")
    if not price.is_finite() or price < 0:
        raise ValueError("A price is a number of US dollars, such as 2.50, and at least 0.")
    return price


Price = Annotated[
    Decimal,
    PlainValidator(_read_price),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]{1,6}(\.[0-9]{1,6})?$", "examples": ["2.50"]}),
]
ModelTokens = Annotated[int, Field(ge=1, le=2**31 - 1)]


class PriceNew(Body):
    """US dollars per million model tokens. null: as docs/commands.md says of set_price."""

    input_price: Price
    output_price: Price
    cached_input_price: Price | None = None
    audio_input_price: Price | None = None
    audio_output_price: Price | None = None
    context_window: ModelTokens | None = None
    max_output_tokens: ModelTokens | None = None


class ShownPrice(Schema):
    input_price: str | None = None
    cached_input_price: str | None = None
    output_price: str | None = None
    audio_input_price: str | None = None
    audio_output_price: str | None = None
    cache_write_price: str | None = None


class PriceTier(ShownPrice):
    above: int


class ModelPrice(ShownPrice):
    """`source`: `override` was set here; `genai-prices` is known; `none`: it has none."""

    model: str
    source: Literal["override", "genai-prices", "none"]
    context_window: int | None = None
    max_output_tokens: int | None = None
    tiers: list[PriceTier] = []


ModelName = Annotated[str, Field(max_length=100, min_length=1, pattern=NO_NUL, examples=["gpt-4o-mini"])]


class PriceQuery(Asked):
    model: Annotated[list[ModelName], Field(max_length=100, description="Which price holds for it.")] = []


class Prices(Schema):
    data: list[ModelPrice]
