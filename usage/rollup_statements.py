"""The statements that move the rollups: rows that are missing are begun, the others added to, in one.

Rows are locked in one order, so that two writers cannot lock each other out: models, tokens, latencies,
each by its key.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Model

from usage.chunks import in_chunks
from usage.models import LatencyRollup, ModelRollup, TokenRollup
from usage.sums import Moves, Sums

COMMON = ("period", "starts_at", "project_id")


def move_rollups(moves: Moves) -> None:
    """In the caller's transaction."""
    _upsert(ModelRollup, (*COMMON, "model"), Sums._fields, moves.models.items())
    _upsert(TokenRollup, (*COMMON, "token_id"), Sums._fields, moves.tokens.items())
    latencies = ((key, (requests,)) for key, requests in moves.latencies.items())
    _upsert(LatencyRollup, (*COMMON, "measure", "bucket"), ("requests",), latencies)


def _upsert(
    table: type[Model],
    keys: tuple[str, ...],
    sums: tuple[str, ...],
    rows: Iterable[tuple[tuple[Any, ...], tuple[int, ...]]],
) -> None:
    ordered = sorted((key, added) for key, added in rows if any(added))
    with connection.cursor() as cursor:
        for chunk in in_chunks(ordered):
            values = [value for key, added in chunk for value in (*_stored(key), *added)]
            cursor.execute(_statement(table._meta.db_table, keys, sums, len(chunk)), values)


def _stored(key: tuple[Any, ...]) -> Iterator[Any]:
    period, begin, *rest = key
    yield period.value
    yield connection.ops.adapt_datetimefield_value(datetime.fromtimestamp(begin, UTC))
    for value in rest:
        is_text = isinstance(value, UUID) and not connection.features.has_native_uuid_field
        yield value.hex if is_text else value


def _statement(table: str, keys: tuple[str, ...], sums: tuple[str, ...], rows: int) -> str:
    quote = connection.ops.quote_name
    columns = ", ".join(map(quote, (*keys, *sums)))
    row = f"({', '.join(['%s'] * (len(keys) + len(sums)))})"
    insert = f"INSERT INTO {quote(table)} ({columns}) VALUES {', '.join([row] * rows)}"  # noqa: S608
    if connection.vendor == "mysql":
        added = ", ".join(f"{quote(each)} = {quote(each)} + VALUES({quote(each)})" for each in sums)
        return f"{insert} ON DUPLICATE KEY UPDATE {added}"
    added = ", ".join(
        f"{quote(each)} = {quote(table)}.{quote(each)} + EXCLUDED.{quote(each)}" for each in sums
    )
    return f"{insert} ON CONFLICT ({', '.join(map(quote, keys))}) DO UPDATE SET {added}"
