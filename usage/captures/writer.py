"""Writes what is captured, in a thread of its own: nothing of it holds up the ledger, or a request.

It waits in memory, not in the spool: nothing lies on disk before it is redacted and encrypted. So a process
that is killed loses what it has not written, and so does one whose database is away for longer than there is
room; the ledger loses nothing.
"""

import threading
import time
from collections import deque
from datetime import UTC, datetime

import structlog
from django.db import Error, connection
from django.utils import timezone

from usage.captures.content import conceal
from usage.captures.models import CapturedBodies
from usage.captures.pruning import prune
from usage.captures.raw import RawCapture

BATCH_SECONDS = 0.5
BATCH_ROWS = 20
"""Of a MiB and more each, at the worst: a statement must not be larger than a server takes."""
BATCH_CHARACTERS = 4 * 1024 * 1024
RETRY_SECONDS = 5.0
PRUNE_SECONDS = 600.0
MAX_FAILURES = 12
"""After so many in a row, each further one gives a capture up: perhaps it is too large for the database."""
STOP_SECONDS = 10.0

log = structlog.get_logger("usage")


class CaptureWriter:
    def __init__(self, *, batch_seconds: float = BATCH_SECONDS) -> None:
        self._batch_seconds = batch_seconds
        self._waiting: deque[RawCapture] = deque()
        self._rows: deque[tuple[RawCapture, CapturedBodies]] = deque()
        """Ready to be written."""
        self._failures = 0
        self.lost = 0
        """Captures that could not be written, since the beginning."""
        self._prune_at = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="captures", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, raw: RawCapture) -> None:
        """It is written soon, and its room given back then. From any thread."""
        self._waiting.append(raw)

    def stop(self) -> int:
        """Write what waits, and end. How many could not be written, and are lost."""
        self._stopping.set()
        self._thread.join(timeout=STOP_SECONDS)
        unwritten = len(self._waiting) + len(self._rows)
        self.lost += unwritten
        return unwritten

    def _run(self) -> None:
        pause = self._turn()
        while not self._stopping.wait(pause):
            pause = self._turn()
        self._turn()

    def _turn(self) -> float:
        """After how many seconds to look again."""
        try:
            for _ in range(len(self._waiting) // BATCH_ROWS + 1):  # there may always be more
                if batch := self._batch():
                    self._write(batch)
            if not self._stopping.is_set():
                self._prune()
        except Error as problem:
            log.error("captured bodies cannot be written or pruned, will retry", error=str(problem))
            return self._failed()
        except Exception:  # the thread's edge: without it nothing would be kept any more
            log.exception("captured bodies cannot be written or pruned, will retry")
            return self._failed()
        finally:
            connection.close()
        self._failures = 0
        return self._batch_seconds

    def _failed(self) -> float:
        self._failures += 1
        if self._failures > MAX_FAILURES and self._rows:
            self._rows.popleft()[0].forget()
            self.lost += 1
        return RETRY_SECONDS

    def _batch(self) -> list[CapturedBodies]:
        """Of those that wait, the first ones, redacted and encrypted."""
        characters = sum(len(row.ciphertext) for _, row in self._rows)
        while self._waiting and len(self._rows) < BATCH_ROWS and characters < BATCH_CHARACTERS:
            row = self._row(raw := self._waiting.popleft())
            if row is None:
                continue
            self._rows.append((raw, row))
            characters += len(row.ciphertext)
        return [row for _, row in self._rows]

    def _row(self, raw: RawCapture) -> CapturedBodies | None:
        row = None
        try:
            row = _row(raw)
        finally:
            if row is None:
                raw.forget()
                self.lost += 1
        return row

    def _write(self, batch: list[CapturedBodies]) -> None:
        """Those that are there already, of a batch that was not confirmed, stay as they are."""
        CapturedBodies.objects.bulk_create(batch, ignore_conflicts=True)
        for _ in batch:
            self._rows.popleft()[0].forget()

    def _prune(self) -> None:
        if time.monotonic() < self._prune_at:
            return
        self._prune_at = time.monotonic() + PRUNE_SECONDS
        if deleted := prune(timezone.now(), is_stopping=self._stopping.is_set):
            log.info("captured bodies were deleted whose time is over", captures=deleted)


def _row(raw: RawCapture) -> CapturedBodies | None:
    """None: it cannot be kept."""
    try:
        ciphertext = conceal(raw)
    except (ValueError, RecursionError) as problem:  # not its text, which may tell of the body
        log.error("a body cannot be kept", request_id=str(raw.request_id), error=type(problem).__name__)
        return None
    captured_at = datetime.fromtimestamp(raw.started_at, UTC)
    return CapturedBodies(
        id=raw.request_id, project_id=raw.project_id, captured_at=captured_at, ciphertext=ciphertext
    )
