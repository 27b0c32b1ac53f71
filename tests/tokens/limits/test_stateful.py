"""Any interleaving of what can happen to requests, against a model that keeps them in a list and counts them
each time. The same on both stores: never above a limit, never refused below it, nothing held for ever.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.tokens.limits.world import (
    LAG_MS,
    LEASE_MS,
    World,
    flush,
    memory_world,
    own_prefix,
    project,
    redis_world,
    token,
)
from tokens.limits.periods import WINDOWS, periods_at, resets_at
from tokens.limits.values import (
    MINUTE_MS,
    Charge,
    Counters,
    Estimate,
    Kind,
    Lease,
    LimitName,
    LimitReachedError,
    Limits,
    Subject,
)

MACHINE = settings(max_examples=150, stateful_step_count=40, deadline=None)


@dataclass(eq=False)
class Request:
    """As the model sees it; the sets are of the ids of its subjects."""

    lease: Lease
    at_ms: int
    reserved_microusd: int
    expires_at_ms: int
    model_tokens: dict[UUID, int]
    counted_by: set[UUID] = field(default_factory=set)
    held_by: set[UUID] = field(default_factory=set)
    remembered_by: set[UUID] = field(default_factory=set)
    charge: Charge | None = None

    @property
    def subject_ids(self) -> set[UUID]:
        return set(self.model_tokens)


class Model:
    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.now_ms = 0

    def counters(self, subject: Subject) -> Counters:
        mine = [request for request in self.requests if subject.id in request.subject_ids]
        recent = [
            request
            for request in mine
            if subject.id in request.remembered_by and request.at_ms > self.now_ms - MINUTE_MS
        ]
        held = [request for request in mine if subject.id in request.held_by]
        ended = [request for request in mine if request.charge is not None]
        return Counters(
            requests=sum(subject.id in request.counted_by for request in mine),
            active=len(held),
            recent_requests=len(recent),
            recent_model_tokens=sum(
                request.charge.model_tokens if request.charge else request.model_tokens[subject.id]
                for request in recent
            ),
            spent=self._by_window(ended, lambda request: request.charge.microusd),
            reserved=self._by_window(held, lambda request: request.reserved_microusd),
        )

    def _by_window(
        self, requests: list[Request], amount: Callable[[Request], int]
    ) -> tuple[int, int, int, int]:
        now = periods_at(self.now_ms)
        return tuple(
            sum(amount(request) for request in requests if periods_at(request.at_ms)[i] == now[i])
            for i in range(len(WINDOWS))
        )

    def reached(self, subject: Subject, estimate: Estimate) -> set[LimitName]:
        """The limits of this subject that a request is too much for."""
        counters, limits = self.counters(subject), subject.limits
        budgets = zip(limits.budgets, counters.spent, counters.reserved, strict=True)
        too_much = {
            LimitName.REQUESTS: _passes(counters.requests + 1, limits.max_requests),
            LimitName.REQUESTS_PER_MINUTE: _passes(
                counters.recent_requests + 1, limits.max_requests_per_minute
            ),
            LimitName.MODEL_TOKENS_PER_MINUTE: _passes(
                counters.recent_model_tokens + self.model_tokens_of(subject, estimate),
                limits.max_model_tokens_per_minute,
            ),
            LimitName.CONCURRENT_REQUESTS: _passes(counters.active + 1, limits.max_concurrent_requests),
            LimitName.BUDGET: any(
                _passes(spent + reserved + estimate.microusd, budget) or _passes(spent + 1, budget)
                for budget, spent, reserved in budgets
            ),
        }
        return {name for name, is_reached in too_much.items() if is_reached}

    def model_tokens_of(self, subject: Subject, estimate: Estimate) -> int:
        limit = subject.limits.max_model_tokens_per_minute
        if limit is None or estimate.is_output_stated:
            return estimate.model_tokens
        left = limit - self.counters(subject).recent_model_tokens
        return min(estimate.model_tokens, left if left > 0 else 1)

    def is_over(self, request: Request) -> bool:
        for subject in request.lease.subjects:
            counters = self.counters(subject)
            for i, budget in enumerate(subject.limits.budgets):
                if budget is None or periods_at(request.at_ms)[i] != periods_at(self.now_ms)[i]:
                    continue
                outgrew = request.reserved_microusd > request.lease.estimate.microusd
                if counters.spent[i] >= budget:
                    return True
                if outgrew and counters.spent[i] + counters.reserved[i] > budget:
                    return True
        return False

    def build(self, subject_id: UUID) -> None:
        """What is neither in the ledger nor held is not known to a subject that is built from the ledger."""
        for request in self.requests:
            if request.charge is None and subject_id not in request.held_by:
                request.counted_by.discard(subject_id)


def _passes(amount: int, limit: int | None) -> bool:
    return limit is not None and amount > limit


def optional(low: int, high: int) -> st.SearchStrategy[int | None]:
    return st.none() | st.integers(low, high)


LIMITS = st.builds(
    Limits,
    max_requests=optional(1, 12),
    max_requests_per_minute=optional(1, 4),
    max_model_tokens_per_minute=optional(1, 100),
    max_concurrent_requests=optional(1, 4),
    budgets=st.tuples(*[optional(1, 200)] * 4),
)
ESTIMATES = st.builds(Estimate, st.integers(0, 60), st.integers(0, 90), st.booleans())
CHARGES = st.builds(Charge, st.integers(0, 70), st.integers(0, 100))


class Machine(RuleBasedStateMachine):
    """Subclasses say where the world comes from, and what a flush is."""

    running: Bundle[Request] = Bundle("running")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.world: World = self.runner.run(self.open())
        self.model = Model()
        self.model.now_ms = self.world.clock.ms
        self.tokens: list[Subject] = []
        self.projects: list[Subject] = []

    async def open(self) -> World:
        raise NotImplementedError

    @initialize(of_tokens=st.tuples(LIMITS, LIMITS), of_project=LIMITS)
    def limit(self, of_tokens: tuple[Limits, Limits], of_project: Limits) -> None:
        self.tokens = [Subject(Kind.TOKEN, uuid4(), limits) for limits in of_tokens]
        self.projects = [Subject(Kind.PROJECT, uuid4(), of_project)]

    @rule(target=running, which=st.integers(0, 1), in_project=st.booleans(), estimate=ESTIMATES)
    def acquire(self, which: int, in_project: bool, estimate: Estimate) -> Any:
        subjects = (self.tokens[which], *(self.projects if in_project else ()))
        lease = refusal = None
        try:
            lease = self.run(self.world.store.acquire(uuid4(), subjects, estimate))
        except LimitReachedError as reached:
            refusal = reached
        expected = {
            (subject.kind, name) for subject in subjects for name in self.model.reached(subject, estimate)
        }
        if refusal is not None:
            assert (refusal.kind, refusal.name) in expected
            return multiple()
        assert not expected
        ids = {subject.id for subject in subjects}
        request = Request(
            lease,
            self.model.now_ms,
            estimate.microusd,
            self.model.now_ms + LEASE_MS,
            {subject.id: self.model.model_tokens_of(subject, estimate) for subject in subjects},
            set(ids),
            set(ids),
            set(ids),
        )
        self.model.requests.append(request)
        assert lease.counters == tuple(self.model.counters(subject) for subject in subjects)
        return request

    @rule(request=consumes(running), charge=CHARGES)
    def settle(self, request: Request, charge: Charge) -> None:
        if request not in self.model.requests:
            return
        self.run(self.world.settle(request.lease, charge.model_tokens, charge.microusd))
        request.charge = charge
        request.held_by.clear()
        request.counted_by = request.subject_ids
        request.remembered_by = request.subject_ids

    @rule(request=consumes(running))
    def cancel(self, request: Request) -> None:
        self.settle(request, Charge())

    @rule(request=consumes(running))
    def crash(self, request: Request) -> None:
        """Nobody renews it, nobody settles it."""

    @rule(requests=st.lists(running, max_size=4, unique=True), used=st.integers(0, 150))
    def renew(self, requests: list[Request], used: int) -> None:
        alive = [request for request in requests if request.charge is None and request in self.model.requests]
        for request in alive:
            request.lease.used_microusd = used
        over = self.run(self.world.store.renew([request.lease for request in alive]))
        expected = []
        for request in alive:
            request.held_by = request.subject_ids
            request.remembered_by |= request.subject_ids - request.counted_by
            request.counted_by = request.subject_ids
            request.reserved_microusd = max(request.reserved_microusd, used)
            request.expires_at_ms = self.model.now_ms + LEASE_MS
            if self.model.is_over(request):
                expected.append(request.lease)
        assert over == expected

    @rule()
    def sweep(self) -> None:
        dead = [
            request
            for request in self.model.requests
            if request.held_by and request.expires_at_ms <= self.model.now_ms
        ]
        for request in dead:
            request.held_by.clear()
        assert self.run(self.world.store.sweep()) == len(dead)

    @rule(milliseconds=st.integers(0, 5_000) | st.sampled_from([LEASE_MS, MINUTE_MS - 1, MINUTE_MS]))
    def wait(self, milliseconds: int) -> None:
        self.world.clock.advance(milliseconds)
        self.model.now_ms = self.world.clock.ms

    @rule(window=st.sampled_from(WINDOWS[1:]), before_ms=st.integers(0, 1))
    def wait_for_the_next_period(self, window: Any, before_ms: int) -> None:
        resets = resets_at(window, self.model.now_ms)
        assert resets is not None
        self.wait(int(resets.timestamp() * 1000) - before_ms - self.model.now_ms)

    @rule()
    def look_at_all(self) -> None:
        self.look((*self.tokens, *self.projects))

    def look(self, subjects: tuple[Subject, ...]) -> None:
        counters = self.run(self.world.store.standing(subjects))
        assert counters == tuple(self.model.counters(subject) for subject in subjects)

    def run(self, step: Any) -> Any:
        """The model learns of the subjects that were built from the ledger."""
        self.world.ledger.reads.clear()
        try:
            return self.runner.run(step)
        finally:
            for subject_id in self.world.ledger.reads:
                self.model.build(subject_id)

    def teardown(self) -> None:
        try:
            self.wait(LEASE_MS)
            self.sweep()
            self.look_at_all()
            for subject in (*self.tokens, *self.projects):
                counters = self.model.counters(subject)
                assert (counters.active, counters.reserved) == (0, (0, 0, 0, 0))
        finally:
            self.runner.run(self.stack.aclose())
            self.runner.close()


class MemoryMachine(Machine):
    async def open(self) -> World:
        return memory_world()

    @rule()
    def restart(self) -> None:
        """Of the process: what ran is gone with it, and only the ledger is left."""
        self.model.requests = [request for request in self.model.requests if request.charge is not None]
        self.world = memory_world(self.world.ledger)


class RedisMachine(Machine):
    url = ""

    async def open(self) -> World:
        self.prefix = self.stack.enter_context(own_prefix(self.url))
        return await self.stack.enter_async_context(redis_world(self.url, self.prefix))

    @rule()
    def flush(self) -> None:
        flush(self.url, self.prefix)
        for request in self.model.requests:
            request.held_by.clear()
            if request.charge is None:
                request.counted_by.clear()
                request.remembered_by.clear()

    @precondition(lambda self: self.model.requests)
    @rule()
    def recount(self) -> None:
        self.world.shared.recount_later([*self.tokens, *self.projects])
        self.wait(LAG_MS)
        self.sweep()


def test_the_store_in_memory_counts_as_the_model_does() -> None:
    run_state_machine_as_test(MemoryMachine, settings=MACHINE)


@pytest.mark.redis
def test_the_store_in_redis_counts_as_the_model_does(redis_url: str) -> None:
    RedisMachine.url = redis_url
    run_state_machine_as_test(RedisMachine, settings=MACHINE)


def test_the_model_itself_knows_the_limits() -> None:
    model, mine, shared = Model(), token(max_requests=1), project()
    assert model.reached(mine, Estimate(1, 1)) == set()
    lease = Lease(uuid4(), (mine,), 0, (0, 0, 0, 0), Estimate(), 0)
    model.requests.append(Request(lease, 0, 0, 0, {mine.id: 0}, {mine.id}))
    assert model.reached(mine, Estimate(1, 1)) == {LimitName.REQUESTS}
    assert model.reached(shared, Estimate(1, 1)) == set()
