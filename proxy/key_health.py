"""The health of upstream keys on its way into the database: what has changed in a moment is told at once."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

from proxy.keyring import KeyHealth

WRITE_SECONDS = 1.0
"""A key that fails at each request costs one write in so many seconds."""


class HealthWriter:
    def __init__(self, store: Callable[[list[KeyHealth]], Awaitable[bool]]) -> None:
        """`store` says whether it could. What it could not is told again with the next change."""
        self._store = store
        self._changed: dict[UUID, KeyHealth] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None

    def note(self, health: KeyHealth) -> None:
        """Never waits. Call on the event loop."""
        self._changed[health.key_id] = health
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(WRITE_SECONDS, self._begin)

    async def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is not None:
            await self._writing
        if self._changed:
            await self._write()

    def _begin(self) -> None:
        self._timer = None
        self._writing = asyncio.get_running_loop().create_task(self._write_after(self._writing))

    async def _write_after(self, earlier: asyncio.Task[None] | None) -> None:
        if earlier is not None:
            await asyncio.wait({earlier})
        await self._write()

    async def _write(self) -> None:
        told, self._changed = self._changed, {}
        if not await self._store(list(told.values())):
            self._changed = told | self._changed
