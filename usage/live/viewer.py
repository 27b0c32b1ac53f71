"""Viewer: one page that watches. What it does not read in time, it misses, and is told how much that was."""

import asyncio
from collections import deque
from uuid import UUID

import msgspec

from usage.live.now import Now, RunningNow
from usage.live.shown import Shown
from usage.live.wish import Wish

MAX_WAITING = 200
"""Rows that wait for a page that is slow or paused: as many as it shows."""
MAX_ROWS = 100
"""Of one message."""


class Message(msgspec.Struct, frozen=True):
    """What a page is told: what has ended, in the order in which it did."""

    filter_number: int
    rows: list[msgspec.Raw]
    missed: int
    """So many more, since the message before."""
    is_away: bool
    """The way from other processes is broken."""
    running: RunningNow | None
    """None: as it was told before."""


class Viewer:
    def __init__(self, project_ids: set[UUID] | None) -> None:
        """`project_ids`: of what it may see; None: of all, and what is of none."""
        self._project_ids = project_ids
        self._wish = Wish()
        self._waiting: deque[Shown] = deque()
        self._missed = 0
        self._is_away = False
        self._now = Now()
        self._running: RunningNow | None = None
        """To be told."""
        self._known_running: RunningNow | None = None
        """Told, or to be told."""
        self._has_news = asyncio.Event()

    def may_see(self, project_ids: set[UUID] | None) -> None:
        """From now on; what waits is looked at again."""
        if project_ids != self._project_ids:
            self._project_ids = project_ids
            self._sift()
            self.look_at(self._now)

    def wants(self, wish: Wish) -> None:
        """From now on; it is told so, by a message of this wish's number."""
        self._wish = wish
        self._known_running = None
        self._sift()
        self.look_at(self._now)
        self._has_news.set()

    def offer(self, shown: Shown) -> None:
        if not self._fits(shown):
            return
        if len(self._waiting) == MAX_WAITING:
            self._waiting.popleft()
            self._missed += 1
        self._waiting.append(shown)
        self._look_for_news()

    def lose(self, count: int) -> None:
        """So many rows were lost on their way here; whether it would have seen them nobody knows."""
        self._missed += count
        self._look_for_news()

    def look_at(self, now: Now) -> None:
        """What runs may have changed."""
        self._now = now
        found = now.seen_by(self._project_ids, self._wish.filter)
        if found is not None and not found.is_like(self._known_running):
            self._known_running = self._running = found
            self._look_for_news()

    def set_away(self, is_away: bool) -> None:
        if is_away != self._is_away:
            self._is_away = is_away
            self._known_running = None
            self._has_news.set()

    async def next(self) -> bytes:
        """The next message, in JSON, as soon as there is something to tell."""
        await self._has_news.wait()
        rows, missed, running = ([], 0, None) if self._wish.is_paused else self._take()
        self._has_news.clear()
        self._look_for_news()
        return _encoder.encode(Message(self._wish.filter_number, rows, missed, self._is_away, running))

    def _take(self) -> tuple[list[msgspec.Raw], int, RunningNow | None]:
        missed, self._missed = self._missed, 0
        running, self._running = self._running, None
        count = min(MAX_ROWS, len(self._waiting))
        return [self._waiting.popleft().json for _ in range(count)], missed, running

    def _fits(self, shown: Shown) -> bool:
        may_see = self._project_ids is None or shown.row.project_id in self._project_ids
        return may_see and self._wish.filter.fits(shown.row, shown.names)

    def _sift(self) -> None:
        self._waiting = deque(shown for shown in self._waiting if self._fits(shown))

    def _look_for_news(self) -> None:
        if (self._waiting or self._missed or self._running is not None) and not self._wish.is_paused:
            self._has_news.set()


_encoder = msgspec.json.Encoder()
