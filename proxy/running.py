"""Watches over the requests that run: cuts those of tokens that die and of budgets that are used up, renews
what they hold of the limits, and keeps their tokens from being taken for idle.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol
from uuid import UUID

import structlog

from projects.models import DeathPolicy
from proxy import policy
from proxy.admission import budget_used_up
from proxy.errors import ProxyError
from tokens.directory import Changes, Directory, DirectoryUnavailableError, UnknownTokenError
from tokens.grant import Grant
from tokens.limits.values import NO_LIMITS, Lease, LimitStore, LimitsUnavailableError, Subject
from usage.entry import UsageEntry

TICK_SECONDS = 0.5
KEEP_ALIVE_SECONDS = 20.0
"""Well below the shortest idle lifetime."""

log = structlog.get_logger("proxy")


class Running(Protocol):
    """What can be cut: a request, a turn of a WebSocket's conversation, or the conversation."""

    grant: Grant

    @property
    def lease(self) -> Lease: ...

    @property
    def entry(self) -> UsageEntry:
        """What is known of it so far."""
        ...

    @property
    def is_idle(self) -> bool:
        """Whether nothing of it runs that could be let end."""
        ...

    def used_microusd(self) -> int: ...

    def cut(self, error: ProxyError) -> None: ...

    def drain_no_more(self) -> None:
        """The server is about to stop: end what has no client, or must tell it."""
        ...

    def interrupt(self) -> None:
        """The server waits no longer: end it, and tell its client."""
        ...


class RunningRequests:
    """All exchanges of this process, in the order in which they began."""

    def __init__(
        self,
        directory: Directory,
        limits: LimitStore,
        keep_alive: Callable[[set[UUID]], Awaitable[None]],
    ) -> None:
        """`keep_alive` notes in the database that these tokens are in use."""
        self._directory = directory
        self._limits = limits
        self._keep_alive = keep_alive
        self._exchanges: dict[UUID, Running] = {}
        self._added_at: dict[UUID, float] = {}
        """By `time.monotonic`: what a lease says is by the clock of who keeps the limits."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopping = False
        self.is_interrupted = False
        """Whether the server waits no longer: what has not begun yet need not."""

    def start(self) -> None:
        """Each watch has a task of its own: a database or a Redis that is slow must not stop the others."""
        self._begin(self._every(TICK_SECONDS, self.cut_the_dead))
        self._begin(self._every(TICK_SECONDS, self.watch_limits))
        self._begin(self._every(KEEP_ALIVE_SECONDS, self.keep_tokens_alive))

    async def stop(self) -> None:
        # Again and again: what a watch waits for may lose a cancellation that comes with its answer.
        while self._tasks:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.wait(list(self._tasks), timeout=1)

    def add(self, exchange: Running) -> None:
        self._exchanges[exchange.lease.id] = exchange
        self._added_at[exchange.lease.id] = time.monotonic()
        if self._is_stopping:
            exchange.drain_no_more()

    def discard(self, exchange: Running) -> None:
        self._exchanges.pop(exchange.lease.id, None)
        self._added_at.pop(exchange.lease.id, None)

    def __iter__(self) -> Iterator[Running]:
        return iter(list(self._exchanges.values()))

    def entries(self) -> list[UsageEntry]:
        return [exchange.entry for exchange in self]

    def counts(self) -> tuple[int, int]:
        """Admitted requests and turns, and how many of them are streams. A conversation is none."""
        streams = [entry.is_stream for entry in self.entries() if entry.is_admitted]
        return len(streams), sum(streams)

    def drain_no_more(self) -> None:
        """The server stops: requests whose clients have hung up must not hold it up, nor those
        whose clients hang up later.
        """
        self._is_stopping = True
        for exchange in self:
            exchange.drain_no_more()

    def interrupt(self) -> None:
        """The server waits no longer."""
        self.is_interrupted = True
        for exchange in self:
            exchange.interrupt()

    def apply(self, changes: Changes) -> None:
        """Read the grants of the requests that these changes concern anew, each as soon as can be."""
        touched = defaultdict(list)
        for exchange in self:
            if changes.touches(exchange.grant):
                touched[exchange.grant.digest].append(exchange)
        for digest, exchanges in touched.items():
            self._begin(self.read_anew(digest, exchanges))

    def doubt(self, exchange: Running) -> None:
        """Something has changed while the request was on its way here: perhaps its grant."""
        self._begin(self.read_anew(exchange.grant.digest, [exchange]))

    async def read_anew(self, digest: str, exchanges: list[Running]) -> None:
        """Until it succeeds: while the database does not answer, the last word holds."""
        while any(exchange.lease.id in self._exchanges for exchange in exchanges):
            try:
                grant = await self._directory.find(digest)
            except DirectoryUnavailableError:
                await asyncio.sleep(TICK_SECONDS)
                continue
            except UnknownTokenError:
                for exchange in exchanges:
                    # Dead for good: what may finish first is cut later.
                    exchange.grant = replace(exchange.grant, digest_dies_at=0.0)
                    self._check(exchange)
                return
            for exchange in exchanges:
                exchange.grant = grant
                exchange.lease.subjects = _with_limits_of(grant, exchange.lease.subjects)
                self._check(exchange)
            return

    async def cut_the_dead(self) -> None:
        for exchange in self:
            self._check(exchange)

    async def watch_limits(self) -> None:
        added_before = time.monotonic() - TICK_SECONDS
        held = {
            exchange.lease.id: exchange
            for exchange in self
            if exchange.lease.subjects and self._added_at[exchange.lease.id] < added_before
        }
        for exchange in held.values():
            if exchange.grant.has_budget:
                exchange.lease.used_microusd = exchange.used_microusd()
        with suppress(LimitsUnavailableError):  # the store says so itself; leases outlive some missed looks
            for lease in await self._limits.renew([exchange.lease for exchange in held.values()]):
                self._end(held[lease.id], budget_used_up(lease))
            await self._limits.sweep()

    async def keep_tokens_alive(self) -> None:
        token_ids = {
            exchange.grant.token_id for exchange in self if exchange.grant.idle_expires_at != float("inf")
        }
        if token_ids:
            await self._keep_alive(token_ids)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _every(self, seconds: float, watch: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await watch()
            except Exception:  # the task's edge: without it nothing would be cut any more
                log.exception("running requests could not be watched")

    def _check(self, exchange: Running) -> None:
        try:
            policy.check_alive(exchange.grant, time.time())
        except ProxyError as error:
            self._end(exchange, error)

    def _end(self, exchange: Running, error: ProxyError) -> None:
        if exchange.grant.death_policy is DeathPolicy.CUT or exchange.is_idle:
            exchange.cut(error)


def _with_limits_of(grant: Grant, subjects: tuple[Subject, ...]) -> tuple[Subject, ...]:
    """What a lease holds stays the same; how much of it there is may have changed."""
    limits = {subject.id: subject.limits for subject in grant.subjects}
    return tuple(replace(subject, limits=limits.get(subject.id, NO_LIMITS)) for subject in subjects)
