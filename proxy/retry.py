"""Whether a failed request is repeated, and when: pure, but for the budget, which counts. An answer is judged
by what upstream says of it; a request that may have been worked on is repeated only if that does no harm.
"""

import random
from collections.abc import Iterable
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from proxy.headers import first

BASE_SECONDS = 0.25
MAX_WAIT_SECONDS = 5.0
"""The longest wait between two attempts: whom upstream tells to wait longer gets its answer."""
MAX_BALANCE = 100.0
FLOOR_REQUESTS = 3
FLOOR_SECONDS = 10.0
"""So many repetitions in so many seconds are there for those who ask seldom."""

_SAFE = frozenset({"GET", "HEAD", "DELETE", "PUT"})
REFUSED_UNWORKED = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_PERHAPS_WORKED = frozenset(
    {HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT}
)


def can_be_repeated(method: str, headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether to ask twice is to ask once: by its method, or by the key that it carries."""
    return method in _SAFE or bool((first(headers, b"idempotency-key") or b"").strip())


def retries_for(headers: Iterable[tuple[bytes, bytes]], most: int) -> int:
    """How often we repeat for this client: not at all for one that is repeating the request itself."""
    count = first(headers, b"x-stainless-retry-count")
    return most if count is None or count.strip() in (b"", b"0") else 0


def may_ask_again(
    status: int, headers: Iterable[tuple[bytes, bytes]], *, is_harmless: bool, is_quota: bool = False
) -> bool:
    """After an answer with this status and these headers. `is_harmless`: whether it can be repeated."""
    said = first(headers, b"x-should-retry")
    if said == b"false" or status < HTTPStatus.BAD_REQUEST or is_quota:
        return False
    return said == b"true" or status in REFUSED_UNWORKED or (is_harmless and status in _PERHAPS_WORKED)


def seconds_to_wait(retries_made: int, headers: Iterable[tuple[bytes, bytes]], *, now: float) -> float | None:
    """Before the next attempt, after an answer with these headers; None: longer than we wait. `now` is
    seconds since the epoch.
    """
    told = told_seconds(headers, now=now)
    if told is None:
        return random.uniform(0, min(MAX_WAIT_SECONDS, BASE_SECONDS * 2**retries_made))  # noqa: S311 (no secret)
    if told > MAX_WAIT_SECONDS:
        return None
    return told + random.uniform(0, min(told / 10, BASE_SECONDS))  # noqa: S311 (no secret)


def told_seconds(headers: Iterable[tuple[bytes, bytes]], *, now: float) -> float | None:
    """How long upstream wants to be left alone; None: it does not say."""
    milliseconds = _number(first(headers, b"retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = first(headers, b"retry-after")
    seconds = _number(value)
    return _until(value, now) if seconds is None and value is not None else seconds


class RetryBudget:
    """Bounds the repetitions to a share of an upstream's requests, so that they never multiply an outage."""

    __slots__ = ("_balance", "_floor", "_seen_at", "_share")

    def __init__(self, percent: int) -> None:
        self._share = percent / 100
        self._balance = 0.0
        self._floor = float(FLOOR_REQUESTS)
        self._seen_at = 0.0

    def note_request(self) -> None:
        self._balance += self._share

    def take(self, now: float) -> bool:
        """Whether there is one repetition left; it is taken then. `now` is of a monotonic clock."""
        self._balance = min(self._balance, MAX_BALANCE)
        refill = (now - self._seen_at) * FLOOR_REQUESTS / FLOOR_SECONDS
        self._floor, self._seen_at = min(self._floor + refill, FLOOR_REQUESTS), now
        if self._balance >= 1:
            self._balance -= 1
        elif self._floor >= 1:
            self._floor -= 1
        else:
            return False
        return True


def _number(value: bytes | None) -> float | None:
    """Not negative, not infinite; anything else says nothing."""
    try:
        number = float(value) if value is not None and len(value) < 30 and b"_" not in value else -1.0
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None


def _until(value: bytes, now: float) -> float | None:
    try:
        until = parsedate_to_datetime(value.decode("latin-1"))
        # Without a zone it is not ours: HTTP's dates are UTC.
        return max(0.0, (until if until.tzinfo else until.replace(tzinfo=UTC)).timestamp() - now)
    except (ValueError, OverflowError):
        return None
