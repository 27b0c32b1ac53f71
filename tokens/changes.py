"""The change poller: a thread that asks the database what changed, and tells the directory's event loop.

Every edit sets its row's `updated_at`, so one indexed query a table finds all of them, whoever made them.
"""

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import Error, InterfaceError, OperationalError, connection
from django.db.models import Model
from django.utils import timezone

from projects.models import Project, UpstreamKey
from tokens.directory import Changes
from tokens.models import AccessToken
from tokens.reach import Reach

STUCK_SECONDS = 30.0
"""A look that takes longer is told."""
OVERLAP = timedelta(minutes=2)
"""Each look goes back this far before the last one: for transactions that committed late, as those do that
waited for others, and for machines whose clocks differ by less."""

Row = tuple[Any, ...]
"""Of a row that was edited: its id, its `updated_at`, and what else is asked for."""

log = structlog.get_logger("tokens")


class ChangePoller:
    def __init__(
        self, tell: Callable[[Changes], None], *, interval_seconds: float, reach: Reach | None = None
    ) -> None:
        """`tell` is called from the poller's thread, with changes only; `reach` learns how each look went."""
        self._tell = tell
        self._reach = reach or Reach(grace_seconds=0)
        self._interval_seconds = interval_seconds
        self._since = timezone.now() - OVERLAP
        self._seen: set[Row] = set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="change-poller", daemon=True)
        self._turned_at = time.monotonic()

    @property
    def state(self) -> str:
        """For people: empty if all is well."""
        if not self._thread.is_alive() and not self._stopping.is_set():
            return "the poller's thread has died"
        waited = time.monotonic() - self._turned_at - self._interval_seconds
        return f"no answer for {waited:.0f} s" if waited > STUCK_SECONDS else ""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=5)

    def poll(self) -> None:
        """One look. Raises django.db.Error; what was missed is then seen by the next look that succeeds."""
        looked_at = timezone.now()
        tokens = _edited(AccessToken, self._since, "digest")
        projects = _edited(Project, self._since)
        keys = _edited(UpstreamKey, self._since, "project_id")
        changes = Changes(
            token_ids=frozenset(row[0] for row in tokens - self._seen),
            digests=frozenset(row[2] for row in tokens - self._seen),
            project_ids=frozenset(row[0] for row in projects - self._seen)
            | frozenset(row[2] for row in keys - self._seen),
        )
        if changes:
            self._tell(changes)
        # The next look goes back over the same time, and meets the same rows again.
        self._seen = tokens | projects | keys
        self._since = looked_at - OVERLAP

    def _run(self) -> None:
        # The first look is at once: what was edited before is no change to those who read it from now on.
        failing, pause = False, 0.0
        while not self._stopping.wait(pause):
            pause = self._interval_seconds
            try:
                with self._reach.awaiting():
                    self.poll()
                failing = False
                self._reach.answered()
            except Exception as problem:  # the thread's edge: a poller that died would let revocations pass
                if not failing:
                    log.error(
                        "changes cannot be read", error=str(problem), exc_info=not isinstance(problem, Error)
                    )
                failing = True
                connection.close()
                if isinstance(problem, OperationalError | InterfaceError):
                    self._reach.failed(str(problem))
            self._turned_at = time.monotonic()
        connection.close()


def _edited(model: type[Model], since: datetime, *fields: str) -> set[Row]:
    return set(model._default_manager.filter(updated_at__gte=since).values_list("pk", "updated_at", *fields))
