"""The counters of one subject, in memory."""

from collections import deque
from dataclasses import dataclass

from tokens.limits.periods import Periods
from tokens.limits.values import MINUTE_MS, Counters, Estimate, Lease, Limits, Subject, Tally
from tokens.limits.verdict import Waits, is_over, model_tokens_to_reserve


@dataclass(slots=True)
class Admission:
    """A request in an account's log of the last minute."""

    at_ms: int
    model_tokens: int
    is_recent: bool = True


class Account:
    __slots__ = (
        "active",
        "log",
        "periods",
        "recent_model_tokens",
        "requests",
        "reserved",
        "spent",
        "unwritten",
    )

    def __init__(self, tally: Tally, periods: Periods) -> None:
        self.requests = tally.requests
        self.active = 0
        self.unwritten = 0
        """Requests that the ledger has not written yet."""
        self.log = deque(Admission(at_ms, model_tokens) for at_ms, model_tokens in tally.recent)
        self.recent_model_tokens = sum(model_tokens for _, model_tokens in tally.recent)
        self.periods = periods
        self.spent = list(tally.spent)
        self.reserved = [0, 0, 0, 0]

    def fits(self, subject: Subject, estimate: Estimate) -> bool:
        limits = subject.limits
        return (
            (limits.max_requests is None or self.requests < limits.max_requests)
            and (limits.max_requests_per_minute is None or len(self.log) < limits.max_requests_per_minute)
            and (limits.max_concurrent_requests is None or self.active < limits.max_concurrent_requests)
            and (
                limits.max_model_tokens_per_minute is None
                or self.recent_model_tokens + self.model_tokens_of(subject, estimate)
                <= limits.max_model_tokens_per_minute
            )
            and not any(
                budget is not None and is_over(budget, spent, reserved, estimate.microusd)
                for budget, spent, reserved in zip(limits.budgets, self.spent, self.reserved, strict=True)
            )
        )

    def roll(self, periods: Periods) -> None:
        """Begin the periods that have begun. A clock that goes back does not bring old ones back."""
        if periods == self.periods:
            return
        for window in range(4):
            if periods[window] > self.periods[window]:
                self.spent[window] = self.reserved[window] = 0
        self.periods = max(periods, self.periods)

    def forget_old(self, now_ms: int) -> None:
        log, before_ms = self.log, now_ms - MINUTE_MS
        while log and log[0].at_ms <= before_ms:
            admission = log.popleft()
            admission.is_recent = False
            self.recent_model_tokens -= admission.model_tokens

    def model_tokens_of(self, subject: Subject, estimate: Estimate) -> int:
        """That a request reserves if it is admitted now."""
        return model_tokens_to_reserve(subject, estimate, self.recent_model_tokens)

    def admit(self, now_ms: int, model_tokens: int) -> Admission:
        admission = Admission(now_ms, model_tokens)
        self.log.append(admission)
        self.recent_model_tokens += model_tokens
        return admission

    def correct(self, admission: Admission, model_tokens: int) -> None:
        if admission.is_recent:
            self.recent_model_tokens += model_tokens - admission.model_tokens
            admission.model_tokens = model_tokens

    def reserve(self, periods: Periods, microusd: int) -> None:
        if microusd:
            for window in range(4):
                if periods[window] == self.periods[window]:
                    self.reserved[window] += microusd

    def release(self, lease: Lease) -> None:
        self.active -= 1
        self.reserve(lease.periods, -lease.reserved_microusd)

    def spend(self, lease: Lease, microusd: int) -> None:
        if microusd:
            for window in range(4):
                if lease.periods[window] == self.periods[window]:
                    self.spent[window] += microusd

    def correct_spent(self, periods: Periods, microusd: int) -> None:
        """Of a request that began in these periods."""
        for window in range(4):
            if periods[window] == self.periods[window]:
                self.spent[window] = max(0, self.spent[window] + microusd)

    def is_used_up(self, limits: Limits, periods: Periods, outgrown: bool) -> bool:
        """Whether a running request that began in these periods must end; `outgrown`: it uses more than it
        had reserved when it began.
        """
        return any(
            budget is not None
            and began == current
            and (spent >= budget or (outgrown and spent + reserved > budget))
            for budget, began, current, spent, reserved in zip(
                limits.budgets, periods, self.periods, self.spent, self.reserved, strict=True
            )
        )

    def waits(self, subject: Subject, estimate: Estimate, now_ms: int) -> Waits:
        limits = subject.limits
        requests_ms = model_tokens_ms = 0
        limit = limits.max_requests_per_minute
        if limit is not None and len(self.log) >= limit:
            requests_ms = self.log[len(self.log) - limit].at_ms + MINUTE_MS - now_ms
        limit = limits.max_model_tokens_per_minute
        if limit is not None:
            left = limit - self.recent_model_tokens - self.model_tokens_of(subject, estimate)
            for admission in self.log:
                if left >= 0:
                    break
                left += admission.model_tokens
                model_tokens_ms = admission.at_ms + MINUTE_MS - now_ms
        return Waits(requests_ms, model_tokens_ms)

    def counters(self) -> Counters:
        return Counters(
            self.requests,
            self.active,
            len(self.log),
            self.recent_model_tokens,
            tuple(self.spent),  # type: ignore[arg-type]
            tuple(self.reserved),  # type: ignore[arg-type]
        )
