"""The statements that write a batch: its rows, and what is summed from them.

By hand, because for so many small rows the ORM's own work costs more than the database's.
"""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import cache
from operator import attrgetter
from typing import Any
from uuid import UUID

import msgspec
from django.db import connection
from django.db.models import CharField, DateTimeField, Field, ForeignKey, UUIDField

from usage.chunks import in_chunks
from usage.daily_spend import DayOfUse
from usage.entry import UsageEntry
from usage.models import DailySpend, UsageRecord

COUNT_REQUESTS = (
    "UPDATE tokens_accesstoken SET request_count = request_count + %s, "
    "last_used_at = CASE WHEN last_used_at > %s THEN last_used_at ELSE %s END WHERE id = %s"
)
ADD_TO_DAY = (
    "UPDATE usage_dailyspend SET requests = requests + %s, cost_microusd = cost_microusd + %s "
    "WHERE subject_id = %s AND day = %s"
)


def insert_records(batch: list[UsageEntry]) -> None:
    with connection.cursor() as cursor:
        for entries in in_chunks(batch):
            values = [value for entry in entries for value in _row(entry)]
            cursor.execute(_insert_statement(len(entries)), values)


def not_written(batch: list[UsageEntry]) -> list[UsageEntry]:
    """Those that the ledger does not have."""
    ids = {entry.id for entry in batch}
    written = set(UsageRecord.objects.filter(pk__in=ids).values_list("pk", flat=True))
    return [entry for entry in batch if entry.id not in written]


def use_tokens(days: list[DayOfUse]) -> None:
    """A request uses its token until it ends; one that is refused keeps no idle token alive."""
    rows = []
    for day in days:
        if day.requests:
            ended_at = _stored_instant(day.last_ended_at)
            rows.append((day.requests, ended_at, ended_at, _stored_id(day.token_id)))
    with connection.cursor() as cursor:
        cursor.executemany(COUNT_REQUESTS, rows)


def add_to_days(days: list[DayOfUse]) -> None:
    """Of the tokens, and of each project what its tokens' days come to."""
    requests: Counter[tuple[UUID, date]] = Counter()
    costs: Counter[tuple[UUID, date]] = Counter()
    for each in days:
        for subject_id in (each.token_id, each.project_id):
            requests[subject_id, each.day] += each.requests
            costs[subject_id, each.day] += each.cost_microusd
    with connection.cursor() as cursor:
        for subject_id, day in sorted(requests):
            where = _stored_id(subject_id), connection.ops.adapt_datefield_value(day)
            values = (requests[subject_id, day], costs[subject_id, day], *where)
            cursor.execute(ADD_TO_DAY, values)
            if not cursor.rowcount:
                _begin(subject_id, day)
                cursor.execute(ADD_TO_DAY, values)


def _begin(subject_id: UUID, day: date) -> None:
    """Another process may do so at the same time: then that one's row is added to."""
    DailySpend.objects.bulk_create([DailySpend(subject_id=subject_id, day=day)], ignore_conflicts=True)


def _row(entry: UsageEntry) -> list[Any]:
    """The entry as the database takes it, column by column; strings as long as their columns."""
    row = list(msgspec.structs.astuple(entry)[: len(_fields())])
    for position, adapt in _adapters():
        row[position] = adapt(row[position])
    return row


@cache
def _insert_statement(rows: int) -> str:
    quote = connection.ops.quote_name
    columns = ", ".join(quote(str(field.column)) for field in _fields())
    row = f"({', '.join(['%s'] * len(_fields()))})"
    table = quote(UsageRecord._meta.db_table)
    return f"INSERT INTO {table} ({columns}) VALUES {', '.join([row] * rows)}"  # noqa: S608


@cache
def _adapters() -> list[tuple[int, Callable[[Any], Any]]]:
    """For the columns whose values the driver does not take as they are: where, and how."""
    adapters = [(position, _adapter(field)) for position, field in enumerate(_fields())]
    return [(position, adapt) for position, adapt in adapters if adapt is not None]


@cache
def _fields() -> "list[Field[Any, Any]]":
    """The table's columns, in the order of an entry's fields; their names are the same. What an entry has
    beyond them comes last.
    """
    by_name = {field.attname: field for field in UsageRecord._meta.concrete_fields}
    return [by_name[name] for name in UsageEntry.__struct_fields__ if name in by_name]


def _adapter(field: "Field[Any, Any]") -> Callable[[Any], Any] | None:
    if isinstance(field, CharField):
        return str if field.choices else fitting(field.max_length or 0)
    if isinstance(field, DateTimeField):
        return _stored_instant
    if isinstance(field, UUIDField | ForeignKey) and not connection.features.has_native_uuid_field:
        return attrgetter("hex")
    return None


def fitting(length: int) -> Callable[[str], str]:
    """Makes any text fit a column of this length."""

    def fit(text: str) -> str:
        if len(text) <= length and "\0" not in text:
            return text
        return text.replace("\0", "\ufffd")[:length]  # PostgreSQL has no NUL in text

    return fit


def _stored_id(value: UUID) -> UUID | str:
    return value if connection.features.has_native_uuid_field else value.hex


def _stored_instant(seconds: float) -> Any:
    return connection.ops.adapt_datetimefield_value(datetime.fromtimestamp(seconds, UTC))
