"""What runs now, in all processes, as those last said that tell of it."""

import time
from uuid import UUID

import msgspec

from usage.live.row import MAX_RUNNING
from usage.live.shown import Shown
from usage.live.wish import Filter

FORGET_SECONDS = 5.0
"""Without a word from a process: it has ended, or cannot be heard."""


class RunningNow(msgspec.Struct, frozen=True):
    """What a page is told of it."""

    at: float
    """By our clock, in seconds since the epoch."""
    count: int
    is_exact: bool
    """Else there are more: not all could be asked whether they fit the page's filter."""
    rows: list[msgspec.Raw]
    """Those that began first."""

    def is_like(self, other: "RunningNow | None") -> bool:
        """But for when it was so."""
        return other is not None and msgspec.structs.replace(other, at=self.at) == self


class Now:
    def __init__(self) -> None:
        self._processes: dict[UUID, tuple[float, dict[UUID, int], list[Shown]]] = {}

    def hear(self, process: UUID, counts: dict[UUID, int], rows: list[Shown]) -> None:
        now = time.monotonic()
        self._processes[process] = now + FORGET_SECONDS, counts, rows
        self._processes = {each: said for each, said in self._processes.items() if said[0] > now}

    def forget(self) -> None:
        self._processes = {}

    def seen_by(self, project_ids: set[UUID] | None, wanted: Filter) -> RunningNow | None:
        """`project_ids`: of what may be seen; None: of all. Returns None while nothing is known."""
        if not self._processes:
            return None
        rows, count = self._seen_by(project_ids)
        fitting = [shown for shown in rows if wanted.fits_running(shown.row, shown.names)]
        return RunningNow(
            at=time.time(),
            count=count if wanted.takes_all_that_runs else len(fitting),
            is_exact=wanted.takes_all_that_runs or len(rows) == count,
            rows=[shown.json for shown in fitting[:MAX_RUNNING]],
        )

    def _seen_by(self, project_ids: set[UUID] | None) -> tuple[list[Shown], int]:
        """Rows in the order in which they began, and how many there are with those that are only counted."""
        count, found = 0, []
        for _, counts, rows in self._processes.values():
            count += sum(
                number for each, number in counts.items() if project_ids is None or each in project_ids
            )
            found += [each for each in rows if project_ids is None or each.row.project_id in project_ids]
        return sorted(found, key=lambda shown: shown.row.started_at), count
