"""The change poller: a thread that asks the database what changed, and tells the directory's event loop.

Every edit sets its row's `updated_at`, so one indexed query a table finds all of them, whoever made them.
"""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import Error, connection
from django.db.models import Model
from django.utils import timezone

from projects.models import Project, UpstreamKey
from tokens.directory import Changes
from tokens.models import AccessToken

OVERLAP = timedelta(seconds=30)
"""Each look goes back this far before the last one: for transactions that committed late, and for machines
whose clocks differ by less."""

Row = tuple[Any, ...]
"""Of a row that was edited: its id, its `updated_at`, and what else is asked for."""

log = structlog.get_logger("tokens")


class ChangePoller:
    def __init__(self, tell: Callable[[Changes], None], *, interval_seconds: float) -> None:
        """`tell` is called from the poller's thread, with changes only."""
        self._tell = tell
        self._interval_seconds = interval_seconds
        self._since = timezone.now() - OVERLAP
        self._seen: set[Row] = set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="change-poller", daemon=True)

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
        failing = False
        while not self._stopping.wait(self._interval_seconds):
            try:
                self.poll()
                failing = False
            except Exception as problem:  # the thread's edge: a poller that died would let revocations pass
                if not failing:
                    log.error(
                        "changes cannot be read", error=str(problem), exc_info=not isinstance(problem, Error)
                    )
                failing = True
                connection.close()
        connection.close()


def _edited(model: type[Model], since: datetime, *fields: str) -> set[Row]:
    return set(model._default_manager.filter(updated_at__gte=since).values_list("pk", "updated_at", *fields))
