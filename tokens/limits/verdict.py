"""Whether a request fits into its subjects' limits, and if not, which refusal tells the most. Pure.

What waiting cannot cure comes first. Of limits that pass with time, the one that takes longest is named, so
that a client which waits as long as it is told gets through.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tokens.limits.periods import WINDOWS, resets_at
from tokens.limits.values import Counters, Estimate, LimitName, LimitReachedError, Subject

RETRY_WHEN_RUNNING_MS = 1000
"""Nobody knows when a running request ends: a guess."""


@dataclass(frozen=True, slots=True)
class Waits:
    """How long until a request of this size fits again, if nothing else is admitted; 0: it does now."""

    requests_ms: int = 0
    model_tokens_ms: int = 0


def model_tokens_to_reserve(subject: Subject, estimate: Estimate, recent_model_tokens: int) -> int:
    """Of the minute that has `recent_model_tokens` in it. Where the client does not bound its output, no more
    than what is left: else a model's longest output would keep out every request that says nothing of it.
    """
    limit = subject.limits.max_model_tokens_per_minute
    if limit is None or estimate.is_output_stated:
        return estimate.model_tokens
    return min(estimate.model_tokens, max(1, limit - recent_model_tokens))


def refusal(
    subjects: tuple[Subject, ...],
    counters: tuple[Counters, ...],
    waits: tuple[Waits, ...],
    estimate: Estimate,
    now_ms: int,
) -> LimitReachedError | None:
    """None: the request fits."""
    reached = [
        limit
        for subject, counted, wait in zip(subjects, counters, waits, strict=True)
        for limit in _reached(subject, counted, wait, estimate, now_ms)
    ]
    if not reached:
        return None
    return min(reached, key=_rank)


def _rank(limit: LimitReachedError) -> tuple[int, int]:
    if limit.retry_after_ms is None:
        return 0, 0
    return 1, -limit.retry_after_ms


def _reached(
    subject: Subject, counted: Counters, wait: Waits, estimate: Estimate, now_ms: int
) -> Iterator[LimitReachedError]:
    limits, kind = subject.limits, subject.kind
    if limits.max_requests is not None and counted.requests >= limits.max_requests:
        yield LimitReachedError(
            LimitName.REQUESTS, kind, limit=limits.max_requests, left=0, needed=1, retry_after_ms=None
        )
    yield from _reached_budgets(subject, counted, estimate, now_ms)
    limit = limits.max_concurrent_requests
    if limit is not None and counted.active >= limit:
        yield LimitReachedError(
            LimitName.CONCURRENT_REQUESTS,
            kind,
            limit=limit,
            left=0,
            needed=1,
            retry_after_ms=RETRY_WHEN_RUNNING_MS,
            is_reserved=True,
        )
    limit = limits.max_requests_per_minute
    if limit is not None and counted.recent_requests >= limit:
        yield LimitReachedError(
            LimitName.REQUESTS_PER_MINUTE,
            kind,
            limit=limit,
            left=0,
            needed=1,
            retry_after_ms=wait.requests_ms,
        )
    limit = limits.max_model_tokens_per_minute
    needed = model_tokens_to_reserve(subject, estimate, counted.recent_model_tokens)
    if limit is not None and counted.recent_model_tokens + needed > limit:
        yield LimitReachedError(
            LimitName.MODEL_TOKENS_PER_MINUTE,
            kind,
            limit=limit,
            left=max(0, limit - counted.recent_model_tokens),
            needed=needed,
            retry_after_ms=None if needed > limit else wait.model_tokens_ms,
        )


def _reached_budgets(
    subject: Subject, counted: Counters, estimate: Estimate, now_ms: int
) -> Iterator[LimitReachedError]:
    for window, limit, spent, reserved in zip(
        WINDOWS, subject.limits.budgets, counted.spent, counted.reserved, strict=True
    ):
        if limit is None or not is_over(limit, spent, reserved, estimate.microusd):
            continue
        is_reserved = not is_over(limit, spent, 0, estimate.microusd)
        resets = resets_at(window, now_ms)
        until_reset_ms = None if resets is None else int(resets.timestamp() * 1000) - now_ms
        if estimate.microusd > limit:
            until_reset_ms = None
        yield LimitReachedError(
            LimitName.BUDGET,
            subject.kind,
            limit=limit,
            left=max(0, limit - spent - reserved),
            needed=estimate.microusd,
            retry_after_ms=RETRY_WHEN_RUNNING_MS if is_reserved else until_reset_ms,
            window=window,
            is_reserved=is_reserved,
        )


def is_over(limit: int, spent: int, reserved: int, needed: int) -> bool:
    """Whether a request of this cost goes beyond a budget. One that is used up admits not even what is free
    or unpriced.
    """
    return spent + reserved + needed > limit or spent >= limit
