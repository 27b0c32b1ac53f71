"""The limits of any number of processes, counted in Redis: one script for each step, on Redis's own clock.

A subject's counters are built from the ledger when they are missing: at its first use, and after Redis was
restarted or flushed. What running requests hold comes back when they are renewed.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import structlog
from redis.asyncio import Redis

from tokens.limits.amends import MAX_AMOUNT, Amends, End, facts_of
from tokens.limits.link import PREFIX, Answer, NoAnswerError, RedisLink
from tokens.limits.reading import TallyReader
from tokens.limits.values import Charge, Counters, Estimate, Lease, LimitsUnavailableError, LoadTally, Subject
from tokens.limits.verdict import refusal

LEASES_PER_SCRIPT = 100
MAX_BIRTHS = 100_000
"""That are remembered, of the subjects seen last."""
MAX_BUILDS = 5
"""Of the same subject for one request."""
_NO_PERIODS = (0, 0, 0, 0)

log = structlog.get_logger("tokens")


class RedisStore:
    def __init__(
        self,
        redis: Redis,
        load_tally: LoadTally,
        *,
        prefix: str = PREFIX,
        lease_seconds: float = 15,
        ledger_lag_seconds: float = 2.0,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """`redis`: without retries, with short timeouts, and giving bytes; it is closed with the store.
        `ledger_lag_seconds`: after this time the ledger has the row of a request that was settled.
        `clock`: in the place of Redis's own.
        """
        self._link = RedisLink(redis, prefix=prefix, clock=clock)
        self._tallies = TallyReader(load_tally)
        self._lease_ms = int(lease_seconds * 1000)
        self._clock = clock or time.monotonic
        self._flush_seconds = 2 * ledger_lag_seconds
        self._births: dict[UUID, str] = {}
        self._amends = Amends(
            self._link, self._build, ledger_lag_seconds=ledger_lag_seconds, clock=self._clock
        )

    async def acquire(self, request_id: UUID, subjects: tuple[Subject, ...], estimate: Estimate) -> Lease:
        if not subjects:
            return Lease.of_nothing(request_id, estimate, int(time.time() * 1000))
        estimate = _bounded(estimate)
        lease = Lease(request_id, subjects, 0, _NO_PERIODS, estimate, estimate.microusd)
        request = {
            "lease": facts_of(lease),
            "lease_ms": self._lease_ms,
            "ids": [subject.id for subject in subjects],
            "limits": [subject.limits for subject in subjects],
        }
        try:
            answer = await self._ask("acquire", request, subjects)
        except (NoAnswerError, asyncio.CancelledError):
            self._amends.tell_later(End(lease, None, self._clock()))
            raise
        if not answer.is_admitted:
            raise _refusal(subjects, answer, estimate)
        lease.at_ms, lease.periods = answer.now_ms, answer.periods
        lease.counters, lease.notes = answer.counters, answer.born
        lease.model_tokens = answer.model_tokens
        self._note_births(subjects, answer.born)
        return lease

    async def settle(self, lease: Lease, charge: Charge) -> None:
        if lease.is_settled:
            return
        lease.is_settled = True
        if not lease.subjects:
            return
        end = End(lease, charge, self._clock())
        try:
            await self._amends.tell_end(end)
        except LimitsUnavailableError:
            self._amends.tell_later(end)
        except asyncio.CancelledError:
            self._amends.tell_later(end)
            raise

    async def renew(self, leases: list[Lease]) -> list[Lease]:
        running = [lease for lease in leases if lease.subjects and not lease.is_settled]
        over: list[Lease] = []
        for start in range(0, len(running), LEASES_PER_SCRIPT):
            over += await self._renew(running[start : start + LEASES_PER_SCRIPT])
        return over

    async def sweep(self) -> int:
        """Tells Redis, too, what it has missed while it did not answer."""
        answer = await self._link.ask("sweep", {"at_most": LEASES_PER_SCRIPT})
        await self._amends.make()
        return answer.swept

    async def standing(self, subjects: tuple[Subject, ...]) -> tuple[Counters, ...]:
        if not subjects:
            return ()
        request = {"ids": [subject.id for subject in subjects]}
        return (await self._ask("standing", request, subjects)).counters

    def written(self, counts: dict[UUID, int]) -> None:
        pass

    def corrected(self, subjects: tuple[Subject, ...], at_ms: int, microusd: int) -> None:
        self._amends.recount_later(subjects)

    async def flush(self) -> None:
        """What others keep busy is not waited for longer than all else."""
        for make in (self._amends.make_all, self._amends.make_at_once):
            with suppress(LimitsUnavailableError, TimeoutError):
                async with asyncio.timeout(self._flush_seconds):
                    await make()
        if self._amends.left:
            log.error("Redis was not told all that the ledger has", left=self._amends.left)

    async def aclose(self) -> None:
        await self._link.aclose()

    @property
    def is_away(self) -> bool:
        return self._link.is_away

    @property
    def outages(self) -> int:
        """How often Redis has gone away."""
        return self._link.outages

    def recount_later(self, subjects: Iterable[Subject]) -> None:
        """Requests of these subjects were not counted in Redis: it learns of them from the ledger."""
        self._amends.recount_later(subjects)

    async def _ask(self, script: str, request: dict[str, Any], subjects: Iterable[Subject]) -> Answer:
        """Run the script; if it misses subjects, build them and run it again."""
        for _ in range(MAX_BUILDS):
            answer = await self._link.ask(script, request)
            if not answer.cold:
                return answer
            for subject in subjects:
                if subject.id in answer.cold:
                    await self._build(subject, answer)
        raise LimitsUnavailableError

    async def _build(self, subject: Subject, before: Answer, *, settled_at_ms: int | None = None) -> bool:
        """Whether it was built; with `settled_at_ms`, whether or not it is there, if no more was settled."""
        tally = await self._tallies.read(subject, before.now_ms)
        request = {
            "id": subject.id,
            "born": uuid4().hex,
            "tally": tally,
            "periods": before.periods,
            "read_at_ms": before.now_ms,
            "settled_at_ms": settled_at_ms,
        }
        return (await self._link.ask("build", request)).is_built

    def _note_births(self, subjects: tuple[Subject, ...], born: tuple[str, ...]) -> None:
        """Of subjects that have been built anew since they were last seen here, as after a flush."""
        for subject, birth in zip(subjects, born, strict=True):
            before = self._births.pop(subject.id, birth)
            self._births[subject.id] = birth
            if before != birth:
                self._amends.recount_when_quiet(subject)
        while len(self._births) > MAX_BIRTHS:
            del self._births[next(iter(self._births))]

    async def _renew(self, leases: list[Lease]) -> list[Lease]:
        subjects = {subject.id: subject for lease in leases for subject in lease.subjects}
        request = {
            "lease_ms": self._lease_ms,
            "ids": list(subjects),
            "requests": [
                {
                    "lease": facts_of(lease),
                    "limits": [subject.limits for subject in lease.subjects],
                    "estimate_microusd": lease.estimate.microusd,
                    "used_microusd": min(lease.used_microusd, MAX_AMOUNT),
                }
                for lease in leases
            ],
        }
        answer = await self._ask("renew", request, subjects.values())
        over = []
        for lease, renewed in zip(leases, answer.renewed, strict=True):
            if lease.is_settled:
                continue
            lease.reserved_microusd, lease.notes = renewed.reserved_microusd, renewed.born
            if renewed.is_over:
                over.append(lease)
        return over


def _bounded(estimate: Estimate) -> Estimate:
    if estimate.model_tokens <= MAX_AMOUNT and estimate.microusd <= MAX_AMOUNT:
        return estimate
    return Estimate(
        min(estimate.model_tokens, MAX_AMOUNT), min(estimate.microusd, MAX_AMOUNT), estimate.is_output_stated
    )


def _refusal(subjects: tuple[Subject, ...], answer: Answer, estimate: Estimate) -> Exception:
    if not answer.waits:
        return LimitsUnavailableError()  # it was given up, and settled as void, before it arrived
    reached = refusal(subjects, answer.counters, answer.waits, estimate, answer.now_ms)
    assert reached is not None, "what does not fit has a reason"
    return reached
