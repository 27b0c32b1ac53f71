"""The change poller: a thread that asks the database what changed, and tells the directory's event loop.

Every edit sets its row's `updated_at`, so one indexed query a table finds all of them, whoever made them.
"""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from django.db import DatabaseError, connection
from django.utils import timezone

from projects.models import Project, UpstreamKey
from tokens.directory import Changes
from tokens.models import AccessToken

OVERLAP = timedelta(seconds=30)
"""Each look goes back this far before the last one: for transactions that committed late, and for machines
whose clocks differ by less."""

log = structlog.get_logger("tokens")


class ChangePoller:
    def __init__(self, tell: Callable[[Changes], None], *, interval_seconds: float) -> None:
        """`tell` is called from the poller's thread, with changes only."""
        self._tell = tell
        self._interval_seconds = interval_seconds
        self._since = timezone.now() - OVERLAP
        self._seen: set[tuple[str, object, datetime]] = set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="change-poller", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=5)

    def poll(self) -> None:
        """One look. Raises DatabaseError; what was missed is then seen by the next look that succeeds."""
        looked_at = timezone.now()
        changes = self._read()
        if changes:
            self._tell(changes)
        self._since = looked_at - OVERLAP
        self._seen = {row for row in self._seen if row[2] >= self._since}

    def _read(self) -> Changes:
        tokens = AccessToken.objects.filter(updated_at__gte=self._since).values_list(
            "id", "updated_at", "digest"
        )
        projects = Project.objects.filter(updated_at__gte=self._since).values_list("id", "updated_at")
        keys = UpstreamKey.objects.filter(updated_at__gte=self._since).values_list(
            "id", "updated_at", "project_id"
        )
        new_tokens = [(row[0], row[2]) for row in tokens if self._is_new("token", row[0], row[1])]
        return Changes(
            token_ids=frozenset(token_id for token_id, _ in new_tokens),
            digests=frozenset(digest for _, digest in new_tokens),
            project_ids=frozenset(row[0] for row in projects if self._is_new("project", row[0], row[1]))
            | frozenset(row[2] for row in keys if self._is_new("key", row[0], row[1])),
        )

    def _is_new(self, kind: str, row_id: object, updated_at: datetime) -> bool:
        row = (kind, row_id, updated_at)
        if row in self._seen:
            return False
        self._seen.add(row)
        return True

    def _run(self) -> None:
        failing = False
        while not self._stopping.wait(self._interval_seconds):
            try:
                self.poll()
                failing = False
            except DatabaseError as problem:
                if not failing:
                    log.error("changes cannot be read", error=str(problem))
                failing = True
                connection.close()
        connection.close()
