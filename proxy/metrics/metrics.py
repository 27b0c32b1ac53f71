"""What one worker does for /metrics: it counts, keeps its state on the board, and answers for all workers."""

import asyncio
from typing import TYPE_CHECKING, ClassVar

import structlog
from django.conf import settings
from django.db import Error

from projects.names import names_of
from proxy.metrics.board import Board
from proxy.metrics.catalogue import OTHER, USAGE
from proxy.metrics.counts import Counts
from proxy.metrics.exposition import Told, text
from proxy.metrics.state import REFRESH_SECONDS, WorkerState
from proxy.metrics.sums import Sums
from usage.alerts import thresholds_reached

if TYPE_CHECKING:
    from proxy.runtime import Runtime

PATIENCE_SECONDS = 1.0
"""How long the database has to say what projects are called."""

log = structlog.get_logger("proxy")


class Metrics:
    workers: ClassVar[int] = 1
    """How many there should be, this one included."""
    number: ClassVar[int] = 1
    _descriptor: ClassVar[int | None] = None

    def __init__(self, runtime: "Runtime") -> None:
        self._runtime = runtime
        self._board = Board.of_one() if self._descriptor is None else Board.shared(self._descriptor)
        self._state = WorkerState(self._board, self.number)
        self._told = Told()
        self._task: asyncio.Task[None] | None = None
        self.count = Counts(self._board, self._family_of, runtime.prices.name_of).count

    @classmethod
    def share(cls, descriptor: int, *, number: int, workers: int) -> None:
        """Before the first is made: this process is one of several, which count in this memory."""
        cls._descriptor, cls.number, cls.workers = descriptor, number, workers

    def start(self) -> None:
        self._task = asyncio.create_task(self._refresh_now_and_then())

    def stop(self) -> None:
        """Once nothing is counted any more: others tell what this process has counted last."""
        if self._task is not None:
            self._task.cancel()
        self._state.add_totals(self._runtime)

    async def text(self) -> bytes:
        """As Prometheus reads it, of all workers."""
        self._state.refresh(self._runtime)
        # In threads: thousands of numbers take some milliseconds.
        sums = await asyncio.to_thread(self._sums)
        await self._ask_database({project for project, _ in sums.of(USAGE)} - {OTHER})
        return await asyncio.to_thread(
            text, sums, self._told, workers=self.workers, spool_max_bytes=settings.SPOOL_MAX_BYTES
        )

    def _sums(self) -> Sums:
        return Sums(self._board.read())

    async def _ask_database(self, projects: set[str]) -> None:
        """While it is away, the names that it has said last must do. Of numbers it has said more to another
        worker, perhaps: a counter that goes backwards is taken for one that begins anew.
        """
        self._told = Told(self._told.projects)
        if self._runtime.reach.is_away:
            return
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                self._told = await self._runtime.database.in_spare_thread(_told_of, projects)
        except (Error, TimeoutError) as problem:
            log.warning("metrics go without what the database says", error=str(problem))

    async def _refresh_now_and_then(self) -> None:
        while True:
            try:
                self._state.refresh(self._runtime)
            except Exception:  # the task's edge: without it the state would stand still
                log.exception("the state of this worker cannot be told")
            await asyncio.sleep(REFRESH_SECONDS)

    def _family_of(self, path: str) -> str:
        return self._runtime.providers.family_of(path)


def _told_of(projects: set[str]) -> Told:
    """Raises django.db.Error."""
    return Told(names_of(projects), thresholds_reached())
