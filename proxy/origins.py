"""The origins that any token allows, for what browsers ask without a token: read when it is asked, and
remembered for a moment.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

REMEMBERED_SECONDS = 10.0
LEAST_SECONDS = 1.0
"""Between two looks, whatever changes meanwhile: anybody can ask."""


class KnownOrigins:
    def __init__(
        self,
        load: Callable[[], Awaitable[frozenset[bytes] | None]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`load` returns None where they cannot be read: they are taken to be as they were."""
        self._load = load
        self._clock = clock
        self._origins: frozenset[bytes] = frozenset()
        self._read_at = float("-inf")
        self._is_stale = True
        self._reading = asyncio.Lock()

    async def allow(self, origin: bytes) -> bool:
        if self._is_due():
            async with self._reading:
                if self._is_due():  # still, after waiting
                    self._is_stale = False  # what changes from now on may not be in what is read
                    origins = await self._load()
                    self._origins = self._origins if origins is None else origins
                    self._read_at = self._clock()
        return origin in self._origins

    def forget(self, changes: object = None) -> None:
        """A token or a project has changed."""
        self._is_stale = True

    def _is_due(self) -> bool:
        age = self._clock() - self._read_at
        return age >= REMEMBERED_SECONDS or (self._is_stale and age >= LEAST_SECONDS)
