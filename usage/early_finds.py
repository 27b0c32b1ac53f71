"""Work that was found finished before its beginning was written: that may still lie in the spool of another
process. It is looked for again for some time, by the process that found it.
"""

import time
from collections.abc import Callable, Iterable
from datetime import datetime
from uuid import UUID

from usage.entry import UsageEntry
from usage.models import BackgroundWork

WAIT_SECONDS = 600.0
LOOK_SECONDS = 2.0
MAX_FINDS = 1000

Work = tuple[UUID | None, str]
"""The project, and upstream's id."""


class EarlyFinds:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._finds: dict[Work, tuple[float, UsageEntry]] = {}
        """By when each is given up."""
        self._look_at = 0.0

    def note(self, written: list[UsageEntry]) -> None:
        """What was written: whether its work had begun is seen by the next look."""
        for entry in written:
            if entry.finished is not None and len(self._finds) < MAX_FINDS:
                self._finds.setdefault(_work(entry), (self._clock() + WAIT_SECONDS, entry))

    def look(self) -> list[UsageEntry]:
        """Those whose work has begun by now, and is not charged yet. Raises django.db.Error."""
        now = self._clock()
        if not self._finds or now < self._look_at:
            return []
        self._look_at = now + LOOK_SECONDS
        begun = _begun(self._finds)
        self._finds = {
            work: (until, entry)
            for work, (until, entry) in self._finds.items()
            if until > now and begun.get(work) is None
        }
        return [entry for work, (_, entry) in self._finds.items() if work in begun]

    def look_at_once(self) -> None:
        """The next look does not wait."""
        self._look_at = 0.0

    def forget(self, entries: list[UsageEntry]) -> None:
        for entry in entries:
            self._finds.pop(_work(entry), None)


def _work(entry: UsageEntry) -> Work:
    return entry.project_id, entry.work_id


def _begun(works: Iterable[Work]) -> dict[Work, datetime | None]:
    """When each was charged."""
    works = list(works)
    rows = BackgroundWork.objects.filter(
        project_id__in={project_id for project_id, _ in works}, object_id__in={name for _, name in works}
    )
    return {
        (project_id, name): at
        for project_id, name, at in rows.values_list("project_id", "object_id", "finished_at")
    }
