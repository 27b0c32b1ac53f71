"""Whether the database answers, as those find who ask it. While it does not, nobody waits for it: it is asked
about once a second, and known tokens go on for a grace.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

PROBE_SECONDS = 1.0
SILENT_SECONDS = 3.0
"""Some looks of the change poller."""

log = structlog.get_logger("tokens")


class Reach:
    """Told and asked by any thread."""

    def __init__(self, *, grace_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`grace_seconds`: how long after its last answer what it has said is believed."""
        self._grace_seconds = grace_seconds
        self._clock = clock
        self._answered_at = float("-inf")
        self._asked_at = float("-inf")
        self._awaited_since = float("inf")
        self._is_away = False

    @property
    def is_away(self) -> bool:
        """Whether it is known not to answer."""
        if self._clock() - self._awaited_since > SILENT_SECONDS:
            self.keeps_waiting()
        return self._is_away

    @property
    def is_heard(self) -> bool:
        """Whether it has just answered, or is being asked by one who will tell: nobody else need ask."""
        return self._has_just_answered or (self._awaited_since < float("inf") and self.is_in_grace)

    @property
    def is_in_grace(self) -> bool:
        """Whether what the database has told this process still holds; it may have told nothing yet."""
        return self._clock() - self._answered_at <= self._grace_seconds

    @property
    def _has_just_answered(self) -> bool:
        return self._clock() - self._answered_at <= SILENT_SECONDS

    def may_ask(self) -> bool:
        """Whether it is time to look if it is back: then the caller does so."""
        now = self._clock()
        if now - self._asked_at < PROBE_SECONDS:
            return False
        self._asked_at = now
        return True

    @contextmanager
    def awaiting(self) -> Iterator[None]:
        """While it is asked what never takes long, by one who does not give up. One at a time."""
        self._awaited_since = self._clock()
        try:
            yield
        finally:
            self._awaited_since = float("inf")

    def answered(self) -> None:
        self._answered_at = self._clock()
        if self._is_away:
            self._is_away = False
            log.info("the database answers again")

    def keeps_waiting(self) -> None:
        """Somebody has waited for an answer, and has given up: it is away if others have none either."""
        if not self._has_just_answered:
            self.failed("it does not answer in time")

    def failed(self, problem: str) -> None:
        self._asked_at = self._clock()
        if not self._is_away:
            self._is_away = True
            log.warning(
                "the database does not answer, known tokens go on",
                grace_seconds=self._grace_seconds,
                error=problem,
            )
