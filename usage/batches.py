"""A batch of finished requests as the database has it: rows, and all that is summed from them, in one
transaction. Whoever fails half-way has written nothing.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from uuid import UUID

from django.db import transaction

from usage.alerts import lock_projects, raise_alerts
from usage.background import FindPrice, settle_work
from usage.daily_spend import DayOfUse, sum_up
from usage.entry import UsageEntry
from usage.marks import PRUNED_BEFORE, mark
from usage.rollup_statements import move_rollups
from usage.statements import add_to_days, insert_records, not_written, use_tokens
from usage.sums import add_up


@transaction.atomic
def write_new(
    batch: list[UsageEntry],
    on_corrected: Callable[[list[DayOfUse]], None] = lambda corrections: None,
    find_price: FindPrice = lambda model, tier: None,
) -> list[UsageEntry]:
    """As `write_batch`, for records that may be written already: those that were not."""
    new = not_written(batch)
    if new:
        write_batch(new, on_corrected, find_price)
    return new


@transaction.atomic
def write_batch(
    batch: list[UsageEntry],
    on_corrected: Callable[[list[DayOfUse]], None] = lambda corrections: None,
    find_price: FindPrice = lambda model, tier: None,
    found: Sequence[UsageEntry] = (),
) -> dict[UUID, int]:
    """Write records and move what is summed from them, in one transaction. The admitted requests by subject.
    `found`: what was written before its work had begun.

    Rows are locked in one order everywhere, so that two writers cannot lock each other out: work by its
    upstream id, projects by id, tokens by id, days by their subject's id and the day, rollups by their keys.
    """
    insert_records(batch)
    settled = settle_work([*batch, *found], find_price)
    corrections = [correction.day for correction in settled]
    if corrections:
        transaction.on_commit(partial(on_corrected, corrections))
    days = sum_up(batch) + corrections
    projects = lock_projects(days)
    use_tokens(days)
    add_to_days(days)
    raise_alerts(days, projects)
    rows = [(entry.started_at, entry) for entry in batch]
    move_rollups(add_up(rows, [correction.edit for correction in settled]))
    return admitted(batch)


def not_pruned(batch: list[UsageEntry]) -> list[UsageEntry]:
    """Those of which it is still known whether they were written, and counted."""
    pruned_before = mark(PRUNED_BEFORE)
    if pruned_before is None:
        return batch
    return [entry for entry in batch if not entry.started_at < pruned_before.timestamp()]


def admitted(batch: list[UsageEntry]) -> dict[UUID, int]:
    """The admitted requests by subject."""
    entries = [entry for entry in batch if entry.is_admitted]
    counts = Counter(entry.token_id for entry in entries) + Counter(entry.project_id for entry in entries)
    return {subject_id: count for subject_id, count in counts.items() if subject_id is not None}
