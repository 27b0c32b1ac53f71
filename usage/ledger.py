"""The ledger's writer: finished requests are handed over to a spool and written in batches by one thread.

The event loop never waits for the database. While that is away, or refuses to write at all, they wait in the
spool; what it does not take waits in memory, up to a bound. Only a row that is bad itself is put aside. What
processes that have died left in theirs is written too, once.
"""

import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from uuid import UUID

import structlog
from django.db import DataError, Error, IntegrityError, connection

from usage import batches
from usage.background import FindPrice
from usage.daily_spend import DayOfUse, sum_up
from usage.early_finds import EarlyFinds
from usage.entry import UsageEntry
from usage.spool.sources import InMemory, OwnSource, Source
from usage.spool.spool import Spool

BATCH_ROWS = 500
RETRY_SECONDS = 0.5
MAX_RETRY_SECONDS = 5.0
LOOK_SECONDS = 1.0
ADOPT_SECONDS = 10.0
"""How often the spools of processes that have died are looked for."""
STOP_SECONDS = 30.0
"""Longer than SQLite waits for a lock."""
STALE_SECONDS = 5.0
"""What fails sooner may have failed for its connection alone."""
BEHIND_SECONDS = 30.0
"""Nothing was written for so long: that is told."""

log = structlog.get_logger("usage")


class Ledger:
    def __init__(
        self,
        *,
        batch_seconds: float,
        max_pending: int,
        spool: Spool | None = None,
        on_written: Callable[[dict[UUID, int]], None] = lambda counts: None,
        on_corrected: Callable[[list[DayOfUse]], None] = lambda corrections: None,
        on_adopted: Callable[[], None] = lambda: None,
        find_price: FindPrice = lambda model, tier: None,
    ) -> None:
        """`max_pending` bounds what is kept in memory. `on_written` is called, from any thread, with the
        numbers of admitted requests of this process that are written, or given up, by subject: of each token
        and of each project. `on_corrected`, likewise, with what is charged to earlier requests, perhaps less
        than nothing, and to those of processes that have died. `on_adopted`, once: all that was left before
        us is written. `find_price` prices work that is found finished.
        """
        self._batch_seconds = batch_seconds
        self._max_pending = max_pending
        self._spool = spool
        self._on_written = on_written
        self._on_corrected = on_corrected
        self._on_adopted = on_adopted
        self._find_price = find_price
        self._memory = InMemory()
        self._own: list[OwnSource] = [self._memory] if spool is None else [spool, self._memory]
        """In the order in which they were recorded: memory takes what the spool does not."""
        self._finds = EarlyFinds()
        self._lost = 0
        self.lost = 0
        """Records that were dropped since the beginning."""
        self._failures = 0
        self._is_in_doubt = False
        """Whether what was sent last may have been written, although the database has not said so."""
        self._has_adopted = False
        self._look_at = self._adopt_at = 0.0
        self._well_at = time.monotonic()
        self._written_until = time.monotonic()
        """What was recorded before is written."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)

    @property
    def state(self) -> str:
        """For people: empty if all is well."""
        if not self._thread.is_alive() and not self._stopping.is_set():
            return "the ledger's thread has died"
        waited = time.monotonic() - self._well_at - self._batch_seconds
        return f"nothing could be written for {waited:.0f} s" if waited > BEHIND_SECONDS else ""

    @property
    def lag_seconds(self) -> float:
        """The age of the oldest record that is not written, at the most; 0: there is none."""
        waiting = any(source.pending for source in self._own)
        return time.monotonic() - self._written_until if waiting else 0.0

    @property
    def memory_records(self) -> int:
        """Those that the spool could not take."""
        return len(self._memory)

    def start(self) -> None:
        self._well_at = self._written_until = time.monotonic()
        self._thread.start()

    def record(self, entry: UsageEntry) -> None:
        """Hand over a finished request: what it says now is what will be written. Waits for no database; when
        it returns, the record is on disk, if the spool takes it.
        """
        if self._spool is not None and self._spool.append(entry):
            return
        if len(self._memory) >= self._max_pending:
            self._lost += 1
            self.lost += 1
            self._on_written(batches.admitted([entry]))
            return
        self._memory.append(entry)

    def stop(self, timeout_seconds: float = STOP_SECONDS) -> int:
        """Write what is pending and end the thread. The number of records that are lost with the process."""
        self._stopping.set()
        self._thread.join(timeout=timeout_seconds)
        unwritten = len(self._memory)
        self.lost += unwritten
        return unwritten

    def _run(self) -> None:
        pause = self._write_what_is_there()
        while not self._stopping.wait(pause):
            pause = self._write_what_is_there()
        self._write_the_last()
        connection.close()
        if self._spool is not None:
            with suppress(OSError):
                self._spool.close()

    def _write_the_last(self) -> None:
        """An idle connection may be dead although the database is well: then once more, on another."""
        self._finds.look_at_once()
        failures, began = self._failures, time.monotonic()
        self._write_what_is_there()
        if self._failures > failures and time.monotonic() - began < STALE_SECONDS:
            self._write_what_is_there()

    def _write_what_is_there(self) -> float:
        """After how many seconds to look again."""
        began = time.monotonic()
        try:
            self._report_lost()
            self._look_after_spool()
            self._write_own()
            self._written_until = began
            self._settle_finds()
            self._adopt()
        except Error as problem:
            return self._wait_for_database(problem)
        except Exception:  # the thread's edge: without it nothing would be written any more
            log.exception("usage cannot be written, will retry")
            connection.close()
            return max(self._batch_seconds, RETRY_SECONDS)
        self._failures, self._well_at = 0, time.monotonic()
        return self._batch_seconds

    def _wait_for_database(self, problem: Exception) -> float:
        pending = len(self._memory) + (self._spool.pending if self._spool is not None else 0)
        log.error("usage cannot be written, will retry", pending=pending, error=str(problem))
        connection.close()
        self._is_in_doubt = True
        if self._spool is not None:
            with suppress(OSError):  # the spool tells of it when it is written next
                self._spool.sync()
        self._failures += 1
        backoff = RETRY_SECONDS * 2.0 ** min(self._failures - 1, 10)
        return min(backoff, max(RETRY_SECONDS, MAX_RETRY_SECONDS))

    def _look_after_spool(self) -> None:
        if self._spool is not None and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_SECONDS
            self._spool.look()

    def _write_own(self) -> None:
        """What was there at the beginning: under load there is always more, and others must have a turn."""
        for source in self._own:
            left = source.pending
            while batch := source.peek(BATCH_ROWS):
                self._write(source, batch, is_new=not self._is_in_doubt, told=self._on_written)
                left -= len(batch)
                if left <= 0:
                    break
        self._is_in_doubt = False

    def _settle_finds(self) -> None:
        if not (found := self._finds.look()):
            return
        try:
            batches.write_batch([], self._on_corrected, self._find_price, found)
        except Exception as problem:  # whatever a row makes of the driver, as below
            if _is_of_a_row(problem):
                self._finds.forget(found)
            raise
        self._finds.forget(found)

    def _adopt(self) -> None:
        """Write what dead processes have left, and ours between their batches."""
        if self._spool is None or time.monotonic() < self._adopt_at:
            return
        try:
            with closing(self._spool.orphans()) as orphans:
                for orphan in orphans:
                    self._adopt_one(orphan)
        except OSError as problem:
            log.error("what processes have left in the spool cannot be read", error=str(problem))
        self._adopt_at = time.monotonic() + ADOPT_SECONDS
        if not self._has_adopted:
            self._has_adopted = True
            self._on_adopted()

    def _adopt_one(self, orphan: Source) -> None:
        adopted = 0
        while batch := orphan.peek(BATCH_ROWS):
            self._write(orphan, batch, is_new=False, told=_tell_nobody)
            adopted += len(batch)
            self._write_own()
        log.info("usage that a process had left was read", records=adopted)

    def _write(
        self,
        source: Source,
        batch: list[UsageEntry],
        *,
        is_new: bool,
        told: Callable[[dict[UUID, int]], None],
    ) -> None:
        """`is_new`: none of the batch can be in the database already."""
        self._look_after_spool()
        try:
            if is_new:
                batches.write_batch(batch, self._on_corrected, self._find_price)
            else:
                self._write_new(source, batch)
        except Exception as problem:  # whatever a row makes of the driver: the ledger must go on
            if not _is_of_a_row(problem):
                raise
            log.exception("a batch of usage was refused, writing its rows one by one")
            connection.close()
            self._write_singly(source, batch, told)
        else:
            source.take(len(batch))
            told(batches.admitted(batch))
            self._finds.note(batch)
        self._well_at = time.monotonic()

    def _write_singly(
        self, source: Source, batch: list[UsageEntry], told: Callable[[dict[UUID, int]], None]
    ) -> None:
        """One bad row must not hold up the others; it stays in the log. Ends early without a database."""
        for entry in batch:
            refused = None
            try:
                self._write_new(source, [entry])
            except Exception as problem:  # as above
                if not _is_of_a_row(problem):
                    raise
                refused = problem
                source.reject()
            source.take(1)
            told(batches.admitted([entry]))
            if refused is None:
                self._finds.note([entry])
            else:
                log.error("a usage record was refused", entry=entry, exc_info=refused)

    def _write_new(self, source: Source, batch: list[UsageEntry]) -> None:
        """Those that are not written yet."""
        if source in self._own:
            batches.write_new(batch, self._on_corrected, self._find_price)
            return
        fresh = batches.not_pruned(batch)
        if new := batches.write_new(fresh, self._on_corrected, self._find_price):
            self._on_corrected(sum_up(new))
        if len(fresh) < len(batch):
            log.error("usage is older than what was pruned, it is put aside", records=len(batch) - len(fresh))
        for _ in range(len(batch) - len(fresh)):
            source.reject()

    def _report_lost(self) -> None:
        if self._lost:
            lost, self._lost = self._lost, 0
            log.error("usage records were dropped: the database was away too long", dropped=lost)


def _is_of_a_row(problem: Exception) -> bool:
    """Whether another row may be written all the same. All else that a database says is of itself, such as
    that it only reads for now: then nothing is refused, and all waits.
    """
    return isinstance(problem, DataError | IntegrityError) or not isinstance(problem, Error)


def _tell_nobody(counts: dict[UUID, int]) -> None:
    """Of requests that this process has not admitted."""
