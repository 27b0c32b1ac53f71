"""Makes the rollups anew from the ledger's rows: hour by hour, then the day, each in a short transaction.

The writer goes on meanwhile. While an hour is made, nothing is written to the ledger that it could miss or
count twice (`_holding_the_ledger`). What was pruned is not touched: its rollups are all that is left of it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import OperationalError, connection, transaction
from django.db.models import Max, Min, Model, Sum

from usage.marks import PRUNED_BEFORE, UNSUMMED_BEFORE, forget, mark
from usage.models import LatencyRollup, ModelRollup, Period, TokenRollup, UsageRecord
from usage.rollup_statements import move_rollups
from usage.sums import Moves, Sums, add_up

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
DEADLOCK = 1213
"""MySQL's number for it."""
MOST_DEADLOCKS = 50
READ = (
    "started_at",
    "project_id",
    "token_id",
    "model",
    "outcome",
    "status",
    "shadow_refusals",
    "cost_source",
    "cost_microusd",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "duration_seconds",
    "first_byte_seconds",
)
TABLES: tuple[tuple[type[Model], tuple[str, ...], tuple[str, ...]], ...] = (
    (ModelRollup, ("project_id", "model"), Sums._fields),
    (TokenRollup, ("project_id", "token_id"), Sums._fields),
    (LatencyRollup, ("project_id", "measure", "bucket"), ("requests",)),
)


def rebuild(since: datetime | None = None, on_day: Callable[[datetime], None] = lambda day: None) -> int:
    """All of them, or those of the UTC day of `since` and later; how many hours were made. `on_day` hears of
    each day that is done. It can be stopped at any time, and started again.
    """
    hours, day = 0, None
    for hour in _hours(_first(since)):
        if day is not None and _day_of(hour) != day:
            _finish_day(day, on_day)
        day = _day_of(hour)
        _insist(rebuild_hour, hour)
        hours += 1
    if day is not None:
        _finish_day(day, on_day)
    if since is None:
        forget(UNSUMMED_BEFORE)
    return hours


def days_to_rebuild(since: datetime | None = None) -> tuple[datetime, int]:
    """The first UTC day that `rebuild` would make, and how many there are from it to the last."""
    first = next(_hours(_first(since)), None)
    lasts = [
        UsageRecord.objects.aggregate(last=Max("started_at"))["last"],
        *(
            table._default_manager.filter(period=Period.HOUR).aggregate(last=Max("starts_at"))["last"]
            for table, _, _ in TABLES
        ),
    ]
    if first is None:
        return datetime.now(UTC), 0
    last = max(last for last in lasts if last is not None)
    return _day_of(first), (_day_of(last) - _day_of(first)).days + 1


def rebuild_if_unsummed() -> int:
    """What an older version has written, once; how many hours were made."""
    return rebuild() if mark(UNSUMMED_BEFORE) is not None else 0


def rebuild_hour(hour: datetime) -> None:
    with _holding_the_ledger():
        pruned_before = mark(PRUNED_BEFORE)
        if pruned_before is not None and hour < pruned_before:  # meanwhile
            return
        rows = UsageRecord.objects.filter(started_at__gte=hour, started_at__lt=hour + HOUR)
        named = rows.values_list(*READ, named=True).order_by().iterator(chunk_size=2000)
        moves = add_up((row.started_at.timestamp(), row) for row in named)
        _forget(Period.HOUR, hour)
        move_rollups(_only(Period.HOUR, moves))


def rebuild_day(day: datetime) -> None:
    """From its hours."""
    with _holding_the_ledger():
        _forget(Period.DAY, day)
        for table, keys, sums in TABLES:
            hours = table._default_manager.filter(
                period=Period.HOUR, starts_at__gte=day, starts_at__lt=day + DAY
            )
            # An alias that is not the column's name: else the database would sum up sums.
            summed = hours.order_by().values(*keys).annotate(**{f"sum_{name}": Sum(name) for name in sums})
            table._default_manager.bulk_create(
                (_day_row(table, day, row) for row in summed.iterator(chunk_size=2000)), batch_size=500
            )


def _first(since: datetime | None) -> datetime | None:
    """The first instant that may be rebuilt; None: from the beginning."""
    pruned_before = mark(PRUNED_BEFORE)
    bounds = [bound for bound in (since and _day_of(since), pruned_before) if bound is not None]
    return max(bounds, default=None)


def _hours(since: datetime | None) -> Iterator[datetime]:
    """Those of which there are rows, in the ledger or in the rollups."""
    at = since or datetime.min.replace(tzinfo=UTC, year=1900)
    while True:
        firsts = [
            UsageRecord.objects.filter(started_at__gte=at).aggregate(first=Min("started_at"))["first"],
            *(
                table._default_manager.filter(period=Period.HOUR, starts_at__gte=at).aggregate(
                    first=Min("starts_at")
                )["first"]
                for table, _, _ in TABLES
            ),
        ]
        found = [first for first in firsts if first is not None]
        if not found:
            return
        hour = min(found).replace(minute=0, second=0, microsecond=0)
        yield hour
        at = hour + HOUR


def _day_of(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _finish_day(day: datetime, on_day: Callable[[datetime], None]) -> None:
    _insist(rebuild_day, day)
    on_day(day)


def _insist(make: Callable[[datetime], None], begin: datetime) -> None:
    """MySQL may end one of two transactions that wait for each other, here for hours that are being written.
    Each time the other one has got on.
    """
    for _ in range(MOST_DEADLOCKS):
        try:
            make(begin)
        except OperationalError as problem:
            if problem.args[0] != DEADLOCK:
                raise
        else:
            return
    make(begin)


@contextmanager
def _holding_the_ledger() -> Iterator[None]:
    """A transaction during which writers wait before they write their first row, and those that have written
    one have ended. They lock the ledger first of all, so nobody waits in a circle. SQLite's transactions
    exclude each other anyway; MySQL's then lock the hours that they read, which may end in a deadlock.
    """
    with connection.cursor() as cursor:
        if connection.vendor == "mysql":
            cursor.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        with transaction.atomic():
            if connection.vendor == "postgresql":
                cursor.execute("LOCK TABLE usage_usagerecord IN SHARE ROW EXCLUSIVE MODE")
            yield


def _forget(period: Period, starts_at: datetime) -> None:
    for table, _, _ in TABLES:
        table._default_manager.filter(period=period, starts_at=starts_at).delete()


def _only(period: Period, moves: Moves) -> Moves:
    return Moves(
        models={key: sums for key, sums in moves.models.items() if key[0] == period},
        tokens={key: sums for key, sums in moves.tokens.items() if key[0] == period},
        latencies={key: requests for key, requests in moves.latencies.items() if key[0] == period},
    )


def _day_row(table: type[Model], day: datetime, row: dict[str, Any]) -> Model:
    fields = {name.removeprefix("sum_"): value for name, value in row.items()}
    return table(period=Period.DAY, starts_at=day, **fields)
