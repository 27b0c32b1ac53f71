"""Reading tallies from the ledger: however many requests wait for the same one, it is read once."""

import asyncio
from uuid import UUID

from tokens.limits.periods import Periods
from tokens.limits.values import LimitsUnavailableError, LoadTally, Subject, Tally

PATIENCE_SECONDS = 10.0
"""How long a request waits. What takes longer goes on being read, and the next request finds it."""


class TallyReader:
    def __init__(self, load_tally: LoadTally) -> None:
        self._load_tally = load_tally
        self._reading: dict[tuple[UUID, Periods], asyncio.Task[Tally]] = {}

    async def read(self, subject: Subject, periods: Periods) -> Tally:
        """`periods`: the current ones. Raises LimitsUnavailableError."""
        key = subject.id, periods
        task = self._reading.get(key)
        if task is None:
            task = self._reading[key] = asyncio.create_task(self._load(subject))
            task.add_done_callback(lambda _: self._reading.pop(key))
        # A client that hangs up must not take the tally away from those who wait for it too.
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await asyncio.shield(task)
        except TimeoutError:
            raise LimitsUnavailableError from None

    async def _load(self, subject: Subject) -> Tally:
        return await self._load_tally(subject)
