"""Goes on without Redis: while it is away, each process counts its own requests in its memory.

The store that gave a lease has it to its end. Redis does not know what was counted here: when it is back, it
learns of that from the ledger. Where Redis answers and a request fails, it is the ledger that is away.
"""

from collections.abc import Callable
from uuid import UUID

from tokens.limits.memory import MemoryStore
from tokens.limits.redis import RedisStore
from tokens.limits.values import Charge, Counters, Estimate, Lease, LimitsUnavailableError, Subject


class FallbackStore:
    def __init__(self, shared: RedisStore, open_local: Callable[[], MemoryStore]) -> None:
        """`open_local` is called for each outage: the accounts of an earlier one are out of date."""
        self._shared = shared
        self._open_local = open_local
        self._local: MemoryStore | None = None
        self._local_outage = 0
        self._given: dict[UUID, MemoryStore] = {}
        """Of the leases that did not come from Redis: from where."""

    @property
    def is_away(self) -> bool:
        return self._shared.is_away

    async def acquire(self, request_id: UUID, subjects: tuple[Subject, ...], estimate: Estimate) -> Lease:
        try:
            return await self._shared.acquire(request_id, subjects, estimate)
        except LimitsUnavailableError:
            if not self._shared.is_away:
                raise
        local = self._local_now()
        lease = await local.acquire(request_id, subjects, estimate)
        self._given[lease.id] = local
        return lease

    async def settle(self, lease: Lease, charge: Charge) -> None:
        local = self._given.pop(lease.id, None)
        if local is None:
            await self._shared.settle(lease, charge)
        else:
            await local.settle(lease, charge)
            self._shared.recount_later(lease.subjects)

    async def renew(self, leases: list[Lease]) -> list[Lease]:
        over: list[Lease] = []
        for local in self._locals():
            over += await local.renew([lease for lease in leases if self._given.get(lease.id) is local])
        try:
            over += await self._shared.renew([lease for lease in leases if lease.id not in self._given])
        except LimitsUnavailableError:
            if not self._shared.is_away:
                raise
        return over

    async def sweep(self) -> int:
        swept = 0
        for local in self._locals():
            swept += await local.sweep()
        try:
            swept += await self._shared.sweep()
        except LimitsUnavailableError:
            if not self._shared.is_away:
                raise
        return swept

    async def standing(self, subjects: tuple[Subject, ...]) -> tuple[Counters, ...]:
        try:
            return await self._shared.standing(subjects)
        except LimitsUnavailableError:
            if not self._shared.is_away:
                raise
        return await self._local_now().standing(subjects)

    def written(self, counts: dict[UUID, int]) -> None:
        for local in self._locals():
            local.written(counts)

    def corrected(self, subjects: tuple[Subject, ...], at_ms: int, microusd: int) -> None:
        for local in self._locals():
            local.corrected(subjects, at_ms, microusd)
        self._shared.corrected(subjects, at_ms, microusd)

    async def flush(self) -> None:
        await self._shared.flush()

    async def aclose(self) -> None:
        await self._shared.aclose()

    def _local_now(self) -> MemoryStore:
        if self._local is None or self._local_outage != self._shared.outages:
            self._local, self._local_outage = self._open_local(), self._shared.outages
        return self._local

    def _locals(self) -> set[MemoryStore]:
        """This outage's, and those of earlier ones that have running requests."""
        stores = set(self._given.values())
        if self._local is not None:
            stores.add(self._local)
        return stores
