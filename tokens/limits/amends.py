"""What Redis has missed while it did not answer, and is told later: how requests have ended, and which
subjects must be counted anew from the ledger.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from tokens.limits.link import Answer, RedisLink
from tokens.limits.values import Charge, Lease, Subject

MAX_AMOUNT = 2**50
"""Of one request. The scripts count in doubles: sums must stay exact."""

MAX_LATE_ENDS = 10_000
LATE_ENDS_PER_SWEEP = 500
LATE_SECONDS = 60.0
"""How long an end that was not answered is told again; settle.lua remembers ends for longer."""

MAX_RECOUNTS = 100_000
RECOUNTS_PER_SWEEP = 50
RECOUNT_WITHIN_SECONDS = 30.0
"""Even if the subject has not been quiet: then without what the ledger does not have yet."""

FLUSH_INTERVAL_SECONDS = 0.1

_END_OF_TIME_MS = 2**53


@dataclass(frozen=True, slots=True)
class End:
    """Of a lease, with its charge. None: perhaps it was never taken, and nobody wants it."""

    lease: Lease
    charge: Charge | None
    at: float


class Build(Protocol):
    async def __call__(
        self, subject: Subject, before: Answer, *, settled_at_ms: int | None = None
    ) -> bool: ...


class Amends:
    def __init__(
        self, link: RedisLink, build: Build, *, ledger_lag_seconds: float, clock: Callable[[], float]
    ) -> None:
        self._link = link
        self._build = build
        self._ledger_lag_ms = int(ledger_lag_seconds * 1000)
        self._clock = clock
        self._late_ends: deque[End] = deque()
        self._recounts: dict[UUID, _Recount] = {}

    async def tell_end(self, end: End) -> None:
        """Raises LimitsUnavailableError."""
        charge = end.charge or Charge()
        request = {
            "lease": facts_of(end.lease),
            "is_void": end.charge is None,
            "charge": Charge(min(charge.model_tokens, MAX_AMOUNT), min(charge.microusd, MAX_AMOUNT)),
            "age_ms": int((self._clock() - end.at) * 1000),
            "lag_ms": self._ledger_lag_ms,
        }
        answer = await self._link.ask("settle", request)
        # Its row comes into the ledger only now, and these subjects may be built before.
        self.recount_later(subject for subject in end.lease.subjects if subject.id in answer.cold)

    def tell_later(self, end: End) -> None:
        if len(self._late_ends) < MAX_LATE_ENDS:
            self._late_ends.append(end)
        else:
            self.recount_later(end.lease.subjects)

    def recount_later(self, subjects: Iterable[Subject]) -> None:
        """When the ledger has all that has ended by now, and nothing else has been settled for a while."""
        now = self._clock()
        for subject in subjects:
            waiting = self._recounts.get(subject.id)
            since = now if waiting is None or waiting.is_patient else waiting.waits_since
            self._recounts[subject.id] = _Recount(subject, now, since)
        while len(self._recounts) > MAX_RECOUNTS:
            del self._recounts[next(iter(self._recounts))]

    def recount_when_quiet(self, subject: Subject) -> None:
        """It was built anew, perhaps before the ledger had all that had ended. However long it takes until
        nothing is settled for a while: what is counted meanwhile must not be lost.
        """
        self._recounts.setdefault(subject.id, _Recount.patient(subject, self._clock()))

    async def make(self) -> None:
        """What is due, a bounded part of it. Raises LimitsUnavailableError."""
        await self._tell_late_ends()
        await self._recount_due()

    async def make_all(self) -> None:
        """As soon as it is due; what waits for quiet is left. Raises LimitsUnavailableError."""
        while self.left:
            await self.make()
            await asyncio.sleep(FLUSH_INTERVAL_SECONDS)

    async def make_at_once(self) -> None:
        """What is left, quiet or not: the last moment for it. Raises LimitsUnavailableError."""
        await self._tell_late_ends()
        for recount in [recount for recount in self._recounts.values() if not recount.is_patient]:
            before = await self._link.ask("standing", {"ids": [recount.subject.id]})
            if before.cold or await self._build_regardless(recount.subject, before):
                self._recounts.pop(recount.subject.id, None)

    @property
    def left(self) -> int:
        """How much Redis has not been told that must not wait for quiet."""
        return len(self._late_ends) + sum(not recount.is_patient for recount in self._recounts.values())

    async def _tell_late_ends(self) -> None:
        for _ in range(min(len(self._late_ends), LATE_ENDS_PER_SWEEP)):
            if not self._late_ends:  # somebody else has told them
                return
            end = self._late_ends.popleft()
            if self._clock() > end.at + LATE_SECONDS:
                self.recount_later(end.lease.subjects)
                continue
            try:
                await self.tell_end(end)
            except BaseException:  # also when cancelled: an end that is not told must not be forgotten
                self._late_ends.append(end)
                raise

    async def _recount_due(self) -> None:
        due = [subject_id for subject_id, recount in self._recounts.items() if self._is_due(recount)]
        for subject_id in due[:RECOUNTS_PER_SWEEP]:
            recount = self._recounts.pop(subject_id, None)
            if recount is None:
                continue
            is_done = False
            try:
                is_done = await self._recount(recount)
            finally:
                if not is_done:
                    self._recounts.setdefault(subject_id, recount)

    def _is_due(self, recount: "_Recount") -> bool:
        return self._is_in_ledger(recount) or self._is_overdue(recount)

    def _is_in_ledger(self, recount: "_Recount") -> bool:
        return recount.wanted_at + self._ledger_lag_ms / 1000 <= self._clock()

    def _is_overdue(self, recount: "_Recount") -> bool:
        return not recount.is_patient and self._clock() > recount.waits_since + RECOUNT_WITHIN_SECONDS

    async def _recount(self, recount: "_Recount") -> bool:
        """Whether it was done, or need not be."""
        before = await self._link.ask("standing", {"ids": [recount.subject.id]})
        if before.cold:
            return self._is_in_ledger(recount)
        if self._is_overdue(recount):
            is_built = await self._build_regardless(recount.subject, before)
            if is_built and not self._is_in_ledger(recount):  # what was wanted last may have been missed
                self.recount_later([recount.subject])
            return is_built
        if before.settled_at_ms + self._ledger_lag_ms > before.now_ms:
            return False
        return await self._build(recount.subject, before, settled_at_ms=before.settled_at_ms)

    async def _build_regardless(self, subject: Subject, before: Answer) -> bool:
        """Of what is settled all the time: without what the ledger does not have yet."""
        return await self._build(subject, before, settled_at_ms=_END_OF_TIME_MS)


@dataclass(frozen=True, slots=True)
class _Recount:
    subject: Subject
    wanted_at: float
    """The last time."""
    waits_since: float
    is_patient: bool = False

    @classmethod
    def patient(cls, subject: Subject, now: float) -> "_Recount":
        return cls(subject, now, now, is_patient=True)


def facts_of(lease: Lease) -> dict[str, Any]:
    """All of a lease, for a Redis that does not know it."""
    notes = lease.notes or [""] * len(lease.subjects)
    model_tokens = lease.model_tokens or [lease.estimate.model_tokens] * len(lease.subjects)
    return {
        "id": lease.id,
        "state": "swept",
        "at_ms": lease.at_ms,
        "periods": lease.periods,
        "reserved_microusd": lease.reserved_microusd,
        "is_output_stated": lease.estimate.is_output_stated,
        "parts": [
            {"id": subject.id, "born": born, "model_tokens": reserved}
            for subject, born, reserved in zip(lease.subjects, notes, model_tokens, strict=True)
        ],
    }
