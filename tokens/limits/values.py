"""What is counted, as plain data. Money is in micro-USD, instants in milliseconds since the epoch.

A *subject* is what has limits: an access token, or a project. A request is counted for both.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from projects.limits import Limited
from tokens.limits.periods import Periods, Window, periods_at

MINUTE_MS = 60_000


class Kind(StrEnum):
    """Of a subject."""

    TOKEN = "token"  # noqa: S105 (a word, not a secret)
    PROJECT = "project"


class LimitName(StrEnum):
    """Of what a request can be too much."""

    REQUESTS = "requests"
    REQUESTS_PER_MINUTE = "requests_per_minute"
    MODEL_TOKENS_PER_MINUTE = "model_tokens_per_minute"
    CONCURRENT_REQUESTS = "concurrent_requests"
    BUDGET = "budget"


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one subject; None: no limit."""

    max_requests: int | None = None
    max_requests_per_minute: int | None = None
    max_model_tokens_per_minute: int | None = None
    max_concurrent_requests: int | None = None
    budgets: tuple[int | None, int | None, int | None, int | None] = (None, None, None, None)
    """One for each window."""

    @classmethod
    def of(cls, row: Limited) -> "Limits":
        return cls(
            max_requests=row.max_requests,
            max_requests_per_minute=row.max_requests_per_minute,
            max_model_tokens_per_minute=row.max_model_tokens_per_minute,
            max_concurrent_requests=row.max_concurrent_requests,
            budgets=(
                row.total_budget_microusd,
                row.daily_budget_microusd,
                row.weekly_budget_microusd,
                row.monthly_budget_microusd,
            ),
        )

    @property
    def has_budget(self) -> bool:
        return any(budget is not None for budget in self.budgets)

    def __bool__(self) -> bool:
        """Whether there is any limit."""
        return self != NO_LIMITS


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Subject:
    kind: Kind
    id: UUID
    limits: Limits


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a request can come to at the worst; it is reserved until the request is settled."""

    model_tokens: int = 0
    """Input and output together."""
    microusd: int = 0
    is_output_stated: bool = True
    """Whether the client bounded its output. If not, it reserves what is left of a minute's model tokens, and
    no more: the minute is exceeded by what one such request uses beyond it."""


NOTHING = Estimate()


@dataclass(frozen=True, slots=True)
class Charge:
    """What a request has come to."""

    model_tokens: int = 0
    microusd: int = 0


@dataclass(frozen=True, slots=True)
class Tally:
    """What the ledger knows of a subject: from it its counters are built."""

    requests: int = 0
    recent: tuple[tuple[int, int], ...] = ()
    """Of the requests admitted in the last minute, oldest first: when, and the model tokens."""
    spent: tuple[int, int, int, int] = (0, 0, 0, 0)
    """In the current period of each window."""


@dataclass(frozen=True, slots=True)
class Counters:
    """How a subject stands at an instant."""

    requests: int = 0
    active: int = 0
    """Requests that are running."""
    recent_requests: int = 0
    """Admitted in the last minute."""
    recent_model_tokens: int = 0
    """Of these: settled ones as they were, running ones as estimated."""
    spent: tuple[int, int, int, int] = (0, 0, 0, 0)
    reserved: tuple[int, int, int, int] = (0, 0, 0, 0)
    """By running requests that began in the current period of each window."""


@dataclass(slots=True)
class Lease:
    """What a running request holds of its subjects' limits, from `acquire` to `settle`."""

    id: UUID
    """The request's."""
    subjects: tuple[Subject, ...]
    """Those that have limits."""
    at_ms: int
    periods: Periods
    estimate: Estimate
    reserved_microusd: int
    """As the store has counted it: at first the estimate's."""
    used_microusd: int = 0
    """What the request is known to have used so far; its holder says so before `renew`."""
    model_tokens: tuple[int, ...] = ()
    """As each subject has counted them into its minute."""
    counters: tuple[Counters, ...] = ()
    """How the subjects stood when this request was counted in."""
    notes: tuple[Any, ...] = ()
    """The store's own, one for each subject."""
    is_settled: bool = False

    @classmethod
    def of_nothing(cls, request_id: UUID, estimate: Estimate, at_ms: int) -> "Lease":
        """For a request without any limit: nobody counts it."""
        return cls(request_id, (), at_ms, periods_at(at_ms), estimate, 0)


class LimitReachedError(Exception):
    """A request is too much for a limit; says for which, and when that changes."""

    def __init__(
        self,
        name: LimitName,
        kind: Kind,
        *,
        limit: int,
        left: int,
        needed: int,
        retry_after_ms: int | None,
        window: Window = Window.TOTAL,
        is_reserved: bool = False,
    ) -> None:
        """`retry_after_ms` None: waiting does not help. `is_reserved`: it is running requests that stand in
        the way, and may leave enough when they end. Amounts are requests, model tokens or micro-USD.
        """
        super().__init__(name)
        self.name = name
        self.kind = kind
        self.limit = limit
        self.left = left
        self.needed = needed
        self.retry_after_ms = retry_after_ms
        self.window = window
        self.is_reserved = is_reserved


class LimitsUnavailableError(Exception):
    """The store that all processes share, or the ledger that it is built from, does not answer."""


LoadTally = Callable[[Subject, int], Awaitable[Tally]]
"""Reads a subject's tally from the ledger, as of an instant of the store. Raises LimitsUnavailableError."""


class LimitStore(Protocol):
    """Where a request's share of the limits is taken and given back. Used on the event loop."""

    @property
    def is_away(self) -> bool:
        """Whether what processes share does not answer."""
        ...

    async def acquire(self, request_id: UUID, subjects: tuple[Subject, ...], estimate: Estimate) -> Lease:
        """Count a request in, for all of these subjects or none, in one atomic step.

        Raises LimitReachedError and LimitsUnavailableError.
        """
        ...

    async def settle(self, lease: Lease, charge: Charge) -> None:
        """The request has ended: its reservation becomes its charge. Once; again is harmless. Never fails."""
        ...

    async def renew(self, leases: list[Lease]) -> list[Lease]:
        """Keep these from running out, and reserve what they use beyond their estimates. Those whose budget
        is used up: because it is spent, or because there is not so much as they use.

        Raises LimitsUnavailableError.
        """
        ...

    async def sweep(self) -> int:
        """Give back what leases hold that nobody has renewed in time. How many.

        Raises LimitsUnavailableError.
        """
        ...

    async def standing(self, subjects: tuple[Subject, ...]) -> tuple[Counters, ...]:
        """Raises LimitsUnavailableError."""
        ...

    def written(self, counts: dict[UUID, int]) -> None:
        """The ledger has written these numbers of admitted requests, by subject, or has given them up."""
        ...

    def corrected(self, subjects: tuple[Subject, ...], at_ms: int, microusd: int) -> None:
        """The ledger has charged so much more, or less, to a request of these subjects that began then."""
        ...

    async def flush(self) -> None:
        """Tell what is still to be told, before the process ends: what is due within a few seconds."""
        ...

    async def aclose(self) -> None: ...
