"""A circuit breaker: when too much of what is asked has failed, nothing is asked for a while, and then one
request tries. No I/O; instants are seconds of a monotonic clock. Only what upstream did may be told here.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

SLICES = 10
"""The window slides by so many steps."""


class State(Enum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


Pass: TypeAlias = int
"""Whoever gets one tells its result, or that there is none (`forget`). What is older than the last change
says nothing any more.
"""

# An enum's members are slow to get at, and every request does.
_CLOSED = State.CLOSED


@dataclass(frozen=True, slots=True)
class BreakerRules:
    failure_percent: int
    """0: it never opens."""
    min_requests: int
    window_seconds: float
    open_seconds: float


class Breaker:
    __slots__ = (
        "_number",
        "_on_change",
        "_open_until",
        "_probe",
        "_probe_until",
        "_rules",
        "_slice_seconds",
        "_slices",
        "_valid_from",
        "state",
    )

    def __init__(self, rules: BreakerRules, on_change: Callable[["Breaker"], None]) -> None:
        self.state = State.CLOSED
        self._rules = rules
        self._on_change = on_change
        self._slice_seconds = rules.window_seconds / SLICES
        self._slices: deque[list[int]] = deque()
        """For each part of the window with a result: which it is, successes, failures."""
        self._open_until = 0.0
        self._number: Pass = 0
        self._valid_from: Pass = 0
        self._probe: Pass | None = None
        """The newest one without a result."""
        self._probe_until = 0.0

    def admit(self, now: float) -> Pass | None:
        """Leave to ask upstream; None: it is not to be asked now."""
        if self.state is _CLOSED:
            return self._number
        if now < self._open_until or self._is_probing(now):
            return None
        self._number += 1
        self._probe, self._probe_until = self._number, now + self._rules.open_seconds
        self._become(State.HALF_OPEN)
        return self._probe

    def seconds_to_wait(self, now: float) -> float:
        """Until it may be worth asking again; 0: now."""
        if self.state is _CLOSED:
            return 0.0
        if now < self._open_until:
            return max(1.0, self._open_until - now)
        return 1.0 if self._is_probing(now) else 0.0

    def succeeded(self, leave: Pass, now: float) -> None:
        if leave < self._valid_from:
            return
        if self.state is _CLOSED:
            self._slice(now)[1] += 1
            return
        self._forget_past()
        self._become(State.CLOSED)

    def failed(self, leave: Pass, now: float) -> None:
        if leave < self._valid_from:
            return
        if self.state is _CLOSED:
            self._slice(now)[2] += 1
            if not self._has_failed_too_often(now):
                return
        self._open_until = now + self._rules.open_seconds
        self._forget_past()
        self._become(State.OPEN)

    def forget(self, leave: Pass) -> None:
        """It has no result: the next one may try."""
        if leave == self._probe:
            self._probe = None

    def counts(self, now: float) -> tuple[int, int]:
        """Successes and failures within the window."""
        self._drop_old(now)
        return sum(slot[1] for slot in self._slices), sum(slot[2] for slot in self._slices)

    def _has_failed_too_often(self, now: float) -> bool:
        successes, failures = self.counts(now)
        total, percent = successes + failures, self._rules.failure_percent
        return percent > 0 and total >= self._rules.min_requests and failures * 100 >= total * percent

    def _is_probing(self, now: float) -> bool:
        """One that takes long stands in nobody's way: it may be the request that is slow."""
        return self._probe is not None and now < self._probe_until

    def _forget_past(self) -> None:
        self._number += 1
        self._valid_from, self._probe = self._number, None
        self._slices.clear()

    def _become(self, state: State) -> None:
        if state is not self.state:
            self.state = state
            self._on_change(self)

    def _slice(self, now: float) -> list[int]:
        number = int(now / self._slice_seconds)
        if not self._slices or self._slices[-1][0] != number:
            self._drop_old(now)
            self._slices.append([number, 0, 0])
        return self._slices[-1]

    def _drop_old(self, now: float) -> None:
        oldest = int(now / self._slice_seconds) - SLICES + 1
        while self._slices and self._slices[0][0] < oldest:
            self._slices.popleft()
