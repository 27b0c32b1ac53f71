"""What bodies, queries and answers of the management API are made of: durations and money as text, as people
and the commands write them. Bodies are read strictly: what is not understood is refused.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Generic, Literal, Self, TypeVar
from uuid import UUID

from ninja import Schema
from pydantic import ConfigDict, Field, PlainValidator, ValidationInfo, WithJsonSchema, model_validator

from projects.lifetime import NEVER, parse_period, parse_ttl
from projects.money import parse_usd

T = TypeVar("T")


class Body(Schema):
    model_config = ConfigDict(extra="forbid", strict=True)

    def given(self) -> dict[str, Any]:
        """What the request names, by the fields of our rows: budgets as micro-USD."""
        values = self.model_dump(exclude_unset=True)
        return {name.replace("_usd", "_microusd"): value for name, value in values.items()}


class Asked(Schema):
    """All that a route takes as its query: a filter with a typing error must not find everything."""

    @model_validator(mode="after")
    def _know_all(self, info: ValidationInfo) -> Self:
        unknown = (info.context or {})["request"].GET.keys() - type(self).model_fields.keys()
        if unknown:
            raise ValueError(f"Unknown in the query. Known: {', '.join(type(self).model_fields)}.")
        return self


def _read(parse: Callable[[str], T], what: str) -> Callable[[Any], T]:
    def read(value: Any) -> T:
        if not isinstance(value, str):
            raise ValueError(f"{what} is a text.")
        return parse(value)

    return read


def _ending(text: str) -> timedelta:
    ttl = parse_ttl(text)
    if ttl == NEVER:
        raise ValueError("This lifetime ends.")
    return ttl


def read_moment(text: str) -> datetime:
    """An instant as we and others write it, in UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("An instant has an offset, such as Z or +01:00.")
    if not YEARS[0] <= moment.year < YEARS[1]:
        raise ValueError(f"An instant lies between the years {YEARS[0]} and {YEARS[1]}.")
    return moment.astimezone(UTC)


def _text_schema(pattern: str, *examples: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": list(examples)})


YEARS = (1970, 2500)
"""Beyond these no arithmetic of instants is safe in every zone and database."""
_PERIOD = r"^[0-9]{1,9}[smhdw]$"
NO_NUL = r"^[^\u0000]*$"
"""Databases cannot hold that character."""

Lifetime = Annotated[
    timedelta,
    PlainValidator(_read(parse_ttl, "A lifetime")),
    _text_schema(r"^([0-9]{1,9}[smhdw]|never)$", "24h", "7d", "never"),
]
EndingLifetime = Annotated[
    timedelta, PlainValidator(_read(_ending, "A lifetime")), _text_schema(_PERIOD, "24h", "7d")
]
Period = Annotated[
    timedelta, PlainValidator(_read(parse_period, "A period")), _text_schema(_PERIOD, "1h", "30d")
]
Usd = Annotated[
    int,
    PlainValidator(_read(parse_usd, "An amount of US dollars")),
    _text_schema(r"^[0-9]{1,10}(\.[0-9]{1,6})?$", "5", "12.50"),
]
"""Micro-USD."""
Count = Annotated[int, Field(ge=1, le=2**63 - 1)]
Name = Annotated[str, Field(max_length=100, pattern=NO_NUL)]
Text = Annotated[str, Field(max_length=255, pattern=NO_NUL)]
Id = Annotated[UUID, Field(strict=False)]
Moment = Annotated[
    datetime,
    PlainValidator(_read(read_moment, "An instant")),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-03-04T00:00:00Z"]}),
]
"""In a query, in UTC."""
Instant = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""In an answer: ISO 8601, UTC."""


class Limits(Schema):
    """Both those of a token and those of its project hold. null: no limit."""

    max_requests: Count | None = None
    max_requests_per_minute: Count | None = None
    max_model_tokens_per_minute: Count | None = None
    max_concurrent_requests: Count | None = None
    total_budget_usd: Usd | None = None
    daily_budget_usd: Usd | None = None
    weekly_budget_usd: Usd | None = None
    monthly_budget_usd: Usd | None = None


class ShownLimits(Schema):
    """null: no limit."""

    max_requests: int | None
    max_requests_per_minute: int | None
    max_model_tokens_per_minute: int | None
    max_concurrent_requests: int | None
    total_budget_usd: str | None
    daily_budget_usd: str | None
    weekly_budget_usd: str | None
    monthly_budget_usd: str | None


class Page(Schema, Generic[T]):
    object: Literal["list"] = "list"
    data: list[T]
    has_more: bool
    next_cursor: str | None


class Fault(Schema):
    message: str
    type: str
    param: str | None
    code: str | None


class Error(Schema):
    """As OpenAI's."""

    error: Fault
