"""How long upstream may have worked with nothing of it to be seen: reasoning, above all."""

import time
from collections.abc import Callable

NOTICED_SECONDS = 1.0
"""Shorter pauses are those between two pieces of output."""


class Silence:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: float | None = clock()
        self._past_seconds = 0.0

    def begin(self) -> None:
        """Upstream is asked now."""
        self._since = self._clock()

    def heard(self) -> None:
        """A piece of output has come."""
        now = self._clock()
        if self._since is not None and now - self._since >= NOTICED_SECONDS:
            self._past_seconds += now - self._since
        self._since = now

    def end(self, *, was_work: bool) -> None:
        """Upstream is not asked any more. `was_work`: as far as is known it has worked until now."""
        if was_work:
            self._past_seconds = self.seconds
        self._since = None

    @property
    def seconds(self) -> float:
        """Of all silences, the one that lasts among them."""
        lasting = 0.0 if self._since is None else self._clock() - self._since
        return self._past_seconds + lasting
