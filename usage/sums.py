"""What the ledger's rows add to the rollups: one definition, for the writer and for rebuilding.

A model is named only where upstream has answered for it: what clients make up is one row, without a name.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import add, sub
from typing import NamedTuple, Protocol
from uuid import UUID

from usage.latency import bucket_of
from usage.models import Measure, Period
from usage.outcomes import CostSource, Outcome
from usage.statements import fitting

SECONDS = {Period.HOUR: 3600, Period.DAY: 86_400}
UNANSWERED = (Outcome.REFUSED, Outcome.UPSTREAM_FAILED)

fit_model = fitting(100)


class Row(Protocol):
    """Of the ledger, or an entry: what is read of either. They say `started_at` differently."""

    @property
    def project_id(self) -> UUID | None: ...
    @property
    def token_id(self) -> UUID | None: ...
    @property
    def model(self) -> str: ...
    @property
    def outcome(self) -> str: ...
    @property
    def status(self) -> int | None: ...
    @property
    def shadow_refusals(self) -> str: ...
    @property
    def cost_source(self) -> str: ...
    @property
    def cost_microusd(self) -> int | None: ...
    @property
    def input_tokens(self) -> int | None: ...
    @property
    def output_tokens(self) -> int | None: ...
    @property
    def cached_tokens(self) -> int | None: ...
    @property
    def duration_seconds(self) -> float: ...
    @property
    def first_byte_seconds(self) -> float | None: ...


class Sums(NamedTuple):
    """The columns of `UsageSums`, by name and in one order."""

    requests: int = 0
    refused: int = 0
    upstream_failed: int = 0
    upstream_cut: int = 0
    cut: int = 0
    client_closed: int = 0
    interrupted: int = 0
    upstream_errors: int = 0
    unpriced: int = 0
    shadow_refusals: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_microusd: int = 0

    def plus(self, other: Iterable[int]) -> "Sums":
        return Sums(*map(add, self, other))

    def minus(self, other: Iterable[int]) -> "Sums":
        return Sums(*map(sub, self, other))


NOTHING = Sums()

Key = tuple[Period, int, UUID, str | UUID]
"""The period, its first second since the epoch, the project, and the model or the token."""
LatencyKey = tuple[Period, int, UUID, Measure, int]


@dataclass(slots=True)
class Moves:
    """By how much rollups move."""

    models: dict[Key, Sums] = field(default_factory=dict)
    tokens: dict[Key, Sums] = field(default_factory=dict)
    latencies: dict[LatencyKey, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Edit:
    """A row of the ledger that was corrected after it was written."""

    started_at: float
    before: Row
    after: Row


def add_up(rows: Iterable[tuple[float, Row]], edits: Iterable[Edit] = ()) -> Moves:
    """Of rows with the seconds at which they began."""
    cells: defaultdict[tuple[int, UUID, UUID, str], Sums] = defaultdict(lambda: NOTHING)
    latencies: defaultdict[tuple[int, UUID, Measure, int], int] = defaultdict(int)
    for started_at, row in rows:
        hour, project_id, token_id = _begin_of(Period.HOUR, started_at), row.project_id, row.token_id
        if project_id is None or token_id is None:
            continue
        key = hour, project_id, token_id, _model_of(row)
        cells[key] = cells[key].plus(_sums_of(row))
        for measure, seconds in _latencies_of(row):
            latencies[hour, project_id, measure, bucket_of(seconds)] += 1
    for edit in edits:
        _edit(cells, edit)
    return _fold(cells, latencies)


def _begin_of(period: Period, instant: float) -> int:
    return int(instant // SECONDS[period]) * SECONDS[period]


def _model_of(row: Row) -> str:
    return fit_model(row.model) if _is_answered(row) and (row.status or 0) < 400 else ""


def _is_answered(row: Row) -> bool:
    return row.status is not None and row.outcome not in UNANSWERED


def _sums_of(row: Row) -> Sums:
    outcome = row.outcome
    return Sums(
        requests=1,
        refused=outcome == Outcome.REFUSED,
        upstream_failed=outcome == Outcome.UPSTREAM_FAILED,
        upstream_cut=outcome == Outcome.UPSTREAM_CUT,
        cut=outcome == Outcome.CUT,
        client_closed=outcome == Outcome.CLIENT_CLOSED,
        interrupted=outcome == Outcome.INTERRUPTED,
        upstream_errors=outcome == Outcome.COMPLETED and (row.status or 0) >= 400,
        unpriced=row.cost_source == CostSource.UNPRICED,
        shadow_refusals=row.shadow_refusals != "",
        input_tokens=row.input_tokens or 0,
        output_tokens=row.output_tokens or 0,
        cached_tokens=row.cached_tokens or 0,
        cost_microusd=row.cost_microusd or 0,
    )


def _latencies_of(row: Row) -> Iterable[tuple[Measure, float]]:
    """What we answered ourselves says nothing of how long it takes."""
    if not _is_answered(row):
        return
    yield Measure.DURATION, row.duration_seconds
    if row.first_byte_seconds is not None:
        yield Measure.FIRST_BYTE, row.first_byte_seconds


def _edit(cells: dict[tuple[int, UUID, UUID, str], Sums], edit: Edit) -> None:
    hour, project_id, token_id = (
        _begin_of(Period.HOUR, edit.started_at),
        edit.before.project_id,
        edit.before.token_id,
    )
    if project_id is None or token_id is None:
        return
    key = hour, project_id, token_id, _model_of(edit.before)
    cells[key] = cells[key].minus(_sums_of(edit.before))
    key = hour, project_id, token_id, _model_of(edit.after)
    cells[key] = cells[key].plus(_sums_of(edit.after))


def _fold(
    cells: dict[tuple[int, UUID, UUID, str], Sums], latencies: dict[tuple[int, UUID, Measure, int], int]
) -> Moves:
    moves = Moves()
    for (hour, project_id, token_id, model), sums in cells.items():
        for period in Period:
            begin = _begin_of(period, hour)
            _add(moves.models, (period, begin, project_id, model), sums)
            _add(moves.tokens, (period, begin, project_id, token_id), sums)
    for (hour, project_id, measure, bucket), requests in latencies.items():
        for period in Period:
            key = period, _begin_of(period, hour), project_id, measure, bucket
            moves.latencies[key] = moves.latencies.get(key, 0) + requests
    return moves


def _add(sums: dict[Key, Sums], key: Key, more: Sums) -> None:
    known = sums.get(key)
    sums[key] = more if known is None else known.plus(more)
