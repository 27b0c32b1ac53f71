"""How a turn comes to hold its share of the limits, with what it may cost at most; or regardless of them,
where upstream works on it already.
"""

import time
from collections.abc import Callable
from dataclasses import replace

from proxy import admission
from proxy.bill import Bill
from proxy.endpoints import Endpoint
from proxy.errors import ProxyError
from proxy.facts import Facts
from proxy.running import RunningRequests
from proxy.websockets.open_turns import OpenTurns
from proxy.websockets.refusals import model_unknown, too_many_turns
from proxy.websockets.state import Ask
from proxy.websockets.turns import Turn
from tokens.grant import Grant
from tokens.limits.values import (
    NO_LIMITS,
    NOTHING,
    Estimate,
    Lease,
    Limits,
    LimitStore,
    LimitsUnavailableError,
)
from usage.entry import UsageEntry
from usage.price_book import PriceBook

MAX_OPEN_TURNS = 64
"""Of one connection, waiting or running."""


class AdmissionDesk:
    """Of one conversation."""

    def __init__(
        self,
        grant: Grant,
        endpoint: Endpoint,
        turns: OpenTurns,
        limits: LimitStore,
        prices: PriceBook,
        running: RunningRequests,
        *,
        cut: Callable[[ProxyError], None],
    ) -> None:
        """Whoever is admitted is one of `turns`."""
        self.grant = grant
        self._endpoint = endpoint
        self._turns = turns
        self._limits = limits
        self._prices = prices
        self._running = running
        self._cut = cut

    def bill(self, facts: Facts, size: int) -> Bill:
        return Bill(self.grant, self._endpoint, "POST", facts, size, self._prices)

    async def admit(
        self, entry: UsageEntry, ask: Ask, event_id: str | None = None, *, only_costs: bool = False
    ) -> Turn:
        """With what it may cost at most, whichever it is. `only_costs`: it has been counted before.

        Raises ProxyError.
        """
        if self.grant.counts_usage and not all(facts.model for facts in ask.facts):
            raise model_unknown()
        bills = [self.bill(facts, ask.size) for facts in ask.facts]
        estimate = max(
            (bill.estimate() for bill in bills), key=lambda worst: (worst.microusd, worst.model_tokens)
        )
        grant = _with_budgets_only(self.grant) if only_costs else self.grant
        turn = await self._hold(entry, grant, bills[-1], estimate, event_id)
        turn.ask = ask
        return turn

    async def hold(self, entry: UsageEntry, bill: Bill) -> Turn:
        """Nothing but its place. Raises ProxyError."""
        return await self._hold(entry, self.grant, bill, NOTHING, None)

    async def hold_regardless(self, entry: UsageEntry, bill: Bill) -> Turn:
        """For work that upstream has done, or does: it counts, whatever the limits are."""
        unlimited = tuple(replace(subject, limits=NO_LIMITS) for subject in self.grant.subjects)
        is_counted = True
        try:
            lease = await self._limits.acquire(entry.id, unlimited, NOTHING)
        except LimitsUnavailableError:
            lease, is_counted = Lease.of_nothing(entry.id, NOTHING, int(time.time() * 1000)), False
        turn = self._enter(entry, lease, bill, None)
        entry.is_admitted = is_counted
        return turn

    async def _hold(
        self, entry: UsageEntry, grant: Grant, bill: Bill, estimate: Estimate, event_id: str | None
    ) -> Turn:
        if len(self._turns) >= MAX_OPEN_TURNS:
            raise too_many_turns(MAX_OPEN_TURNS)
        lease = await admission.acquire(self._limits, grant, entry, estimate)
        return self._enter(entry, lease, bill, event_id)

    def _enter(self, entry: UsageEntry, lease: Lease, bill: Bill, event_id: str | None) -> Turn:
        turn = Turn(self.grant, lease, bill, entry, self._limits, self._cut, event_id)
        self._turns.add(turn)
        self._running.add(turn)
        return turn


def _with_budgets_only(grant: Grant) -> Grant:
    subjects = (replace(subject, limits=Limits(budgets=subject.limits.budgets)) for subject in grant.subjects)
    return replace(grant, subjects=tuple(subjects))
