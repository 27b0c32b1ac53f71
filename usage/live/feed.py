"""The feed of finished requests: told by the data plane, gathered for a moment, handed on to who watches.
Each second what runs goes with them.

While nobody watches, in any process, the data plane asks one attribute and does nothing else.
"""

import asyncio
from collections.abc import Callable
from uuid import uuid4

from usage.entry import UsageEntry
from usage.live.audience import Audience
from usage.live.row import Batch, LiveRow, Running
from usage.live.viewer import Viewer
from usage.live.wire import Wire

BATCH_SECONDS = 0.4
LOOK_SECONDS = 1.0
"""Between two looks at what runs."""
MAX_BATCH = 500
"""Rows of one moment; what is beyond is only counted."""


class Feed:
    def __init__(self, wire: Wire, audience: Audience, running: Callable[[], list[UsageEntry]]) -> None:
        """`running`: of what runs in this process, in the order in which it began."""
        self.is_watched = False
        """Whether `tell` is of any use."""
        self._wire = wire
        self._audience = audience
        self._rows: list[LiveRow] = []
        self._lost = 0
        self._timer: asyncio.TimerHandle | None = None
        self._running = running
        self._process = uuid4()
        self._is_look_due = False
        self._next_look: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._audience.start()
        self._wire.start(self)

    async def stop(self) -> None:
        self.is_watched = False
        for timer in (self._timer, self._next_look):
            if timer is not None:
                timer.cancel()
        await self._wire.stop()
        await self._audience.stop()

    def tell(self, entry: UsageEntry) -> None:
        """A request has ended."""
        if len(self._rows) < MAX_BATCH:
            self._rows.append(LiveRow.of(entry))
        else:
            self._lost += 1
        self._hand_on_soon()

    def enter(self, viewer: Viewer) -> None:
        """From now on it is offered what ends. Raises TooManyViewersError."""
        self._audience.enter(viewer)
        self._wire.listen(True)

    def leave(self, viewer: Viewer) -> None:
        self._audience.leave(viewer)
        self._wire.listen(bool(self._audience))

    def set_watched(self, is_watched: bool) -> None:
        self.is_watched = is_watched
        if is_watched and self._next_look is None:
            self._look()

    def set_away(self, is_away: bool) -> None:
        """Whether what other processes tell, and we, cannot arrive now."""
        self._audience.set_away(is_away)

    def arrived(self, batch: Batch) -> None:
        self._audience.see(batch)

    def _look(self) -> None:
        """Again and again, while somebody watches."""
        self._next_look = None
        if self.is_watched:
            self._is_look_due = True
            self._hand_on_soon()
            self._next_look = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def _hand_on_soon(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(BATCH_SECONDS, self._hand_on)

    def _hand_on(self) -> None:
        self._timer = None
        running = Running.of(self._process, self._running()) if self._is_look_due else None
        batch = Batch(self._rows, self._lost, running)
        self._rows, self._lost, self._is_look_due = [], 0, False
        self._wire.send(batch)
