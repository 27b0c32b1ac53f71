"""Reading tallies from the ledger: however many requests wait for the same one, it is read once."""

import asyncio
from uuid import UUID

from tokens.limits.periods import Periods, periods_at
from tokens.limits.values import LimitsUnavailableError, LoadTally, Subject, Tally

PATIENCE_SECONDS = 10.0
"""How long a request waits. What takes longer goes on being read, and the next request finds it."""


class TallyReader:
    def __init__(self, load_tally: LoadTally) -> None:
        self._load_tally = load_tally
        self._reading: dict[tuple[UUID, Periods], asyncio.Task[Tally]] = {}

    async def read(self, subject: Subject, at_ms: int) -> Tally:
        """As of this instant, or one shortly before it in the same periods. Raises LimitsUnavailableError."""
        key = subject.id, periods_at(at_ms)
        task = self._reading.get(key)
        if task is None:
            task = self._reading[key] = asyncio.create_task(self._load(subject, at_ms))
            task.add_done_callback(lambda task: self._has_ended(key, task))
        # A client that hangs up must not take the tally away from those who wait for it too.
        ended, _ = await asyncio.wait([task], timeout=PATIENCE_SECONDS)
        if not ended:
            raise LimitsUnavailableError
        return task.result()

    def _has_ended(self, key: tuple[UUID, Periods], task: asyncio.Task[Tally]) -> None:
        del self._reading[key]
        if not task.cancelled():
            task.exception()  # taken note of: perhaps nobody waits for it any more

    async def _load(self, subject: Subject, at_ms: int) -> Tally:
        return await self._load_tally(subject, at_ms)
