"""Those who watch in this process. A row is named and encoded once, however many see it."""

import asyncio
from collections import deque

from usage.live.names import NameBook
from usage.live.now import Now
from usage.live.row import Batch, Running
from usage.live.shown import Shown
from usage.live.viewer import Viewer

MAX_VIEWERS = 100
MAX_BATCHES = 10
"""That wait for names: the database may be slow."""


class TooManyViewersError(Exception):
    """This process has as many as it takes."""


class Audience:
    def __init__(self, names: NameBook) -> None:
        self._names = names
        self._viewers: set[Viewer] = set()
        self._batches: deque[Batch] = deque()
        self._lost = 0
        self._now = Now()
        self._has_batches = asyncio.Event()
        self._is_away = False
        self._showing: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._showing = asyncio.create_task(self._show_all())

    async def stop(self) -> None:
        if self._showing is not None:
            self._showing.cancel()
            await asyncio.gather(self._showing, return_exceptions=True)

    def enter(self, viewer: Viewer) -> None:
        """Raises TooManyViewersError."""
        if len(self._viewers) >= MAX_VIEWERS:
            raise TooManyViewersError
        viewer.set_away(self._is_away)
        viewer.look_at(self._now)
        self._viewers.add(viewer)

    def leave(self, viewer: Viewer) -> None:
        self._viewers.discard(viewer)
        if not self._viewers:
            self._now.forget()  # nothing more is heard

    def __len__(self) -> int:
        return len(self._viewers)

    def set_away(self, is_away: bool) -> None:
        self._is_away = is_away
        if is_away:
            self._now.forget()
        for viewer in self._viewers:
            viewer.set_away(is_away)

    def see(self, batch: Batch) -> None:
        if not self._viewers:
            return
        if len(self._batches) == MAX_BATCHES:
            self._lost += len(self._batches.popleft())
        self._batches.append(batch)
        self._has_batches.set()

    async def _show_all(self) -> None:
        while True:
            await self._has_batches.wait()
            while self._batches:
                await self._show(self._batches.popleft())
            self._has_batches.clear()

    async def _show(self, batch: Batch) -> None:
        await self._names.learn(row.token_id for row in batch.rows)
        for row in batch.rows:
            shown = Shown.of(row, self._names[row.token_id])
            for viewer in self._viewers:
                viewer.offer(shown)
        lost, self._lost = batch.lost + self._lost, 0
        if lost:
            for viewer in self._viewers:
                viewer.lose(lost)
        if batch.running is not None:
            await self._show_running(batch.running)

    async def _show_running(self, running: Running) -> None:
        await self._names.learn(row.token_id for row in running.rows)
        rows = [Shown.of(row, self._names[row.token_id]) for row in running.rows]
        self._now.hear(running.process, running.counts, rows)
        for viewer in self._viewers:
            viewer.look_at(self._now)
