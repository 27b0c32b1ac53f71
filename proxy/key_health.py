"""The health of upstream keys on its way into the database: what has changed in a moment is told at once."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import structlog

from proxy.keyring import KeyHealth

WRITE_SECONDS = 1.0
"""A key that fails at each request costs one write in so many seconds."""
STOP_SECONDS = 2.0

log = structlog.get_logger("proxy")


class HealthWriter:
    def __init__(self, store: Callable[[list[KeyHealth]], Awaitable[bool]]) -> None:
        """`store` says whether it could. What it could not is told again a moment later."""
        self._store = store
        self._changed: dict[UUID, KeyHealth] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        self._is_stopping = False

    def note(self, health: KeyHealth) -> None:
        """Never waits. Call on the event loop."""
        self._changed[health.key_id] = health
        self._write_soon()

    async def stop(self) -> None:
        """Write what is left, if that takes no time: nothing is decided by it."""
        self._is_stopping = True
        if self._timer is not None:
            self._timer.cancel()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                if self._writing is not None:
                    await self._writing
                if self._changed:
                    await self._write_one_by_one()
        except TimeoutError:
            log.warning("the health of upstream keys could not be noted before the end")

    def _write_soon(self) -> None:
        if self._timer is None and self._writing is None and not self._is_stopping:
            self._timer = asyncio.get_running_loop().call_later(WRITE_SECONDS, self._begin)

    def _begin(self) -> None:
        self._timer = None
        self._writing = asyncio.get_running_loop().create_task(self._write_one_by_one())

    async def _write_one_by_one(self) -> None:
        try:
            await self._write()
        except Exception:  # the task's edge: without it nothing would be noted any more
            log.exception("the health of upstream keys cannot be noted")
        self._writing = None
        if self._changed:
            self._write_soon()

    async def _write(self) -> None:
        told, self._changed = self._changed, {}
        if not await self._store(list(told.values())):
            self._changed = told | self._changed
