"""Which refusals become events: enough to see who tries what, so few that nobody fills the trail by trying.

Of one action and one client an event each QUIET_SECONDS, which says how often it was refused since the last
one; of one action MOST_AT_ONCE, and then one a minute, whoever it is. Each process counts for itself.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

QUIET_SECONDS = 600.0
MOST_AT_ONCE = 60
PER_SECOND = 1 / 60
MAX_CLIENTS = 4096
"""Those that were refused longest ago are forgotten."""


@dataclass(slots=True)
class _Client:
    refused: int = 0
    quiet_until: float = float("-inf")


@dataclass(slots=True)
class _Action:
    at: float
    left: float = MOST_AT_ONCE

    def take(self, now: float) -> bool:
        self.left = min(MOST_AT_ONCE, self.left + (now - self.at) * PER_SECOND)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


class Refusals:
    """Told by any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._clients: OrderedDict[tuple[str, str], _Client] = OrderedDict()
        self._actions: dict[str, _Action] = {}

    def due(self, action: str, client: str) -> int:
        """Count a refusal; how many an event has to tell of now, and 0 if there is to be none.

        `action` is one of a few; `client` whatever stands for who is refused, such as an address.
        """
        now = self._clock()
        with self._lock:
            known = self._known(action, client)
            known.refused += 1
            if now < known.quiet_until or not self._actions.setdefault(action, _Action(now)).take(now):
                return 0
            refused, known.refused = known.refused, 0
            known.quiet_until = now + QUIET_SECONDS
            return refused

    def forget(self) -> None:
        with self._lock:
            self._clients.clear()
            self._actions.clear()

    def _known(self, action: str, client: str) -> _Client:
        known = self._clients.setdefault((action, client), _Client())
        self._clients.move_to_end((action, client))
        if len(self._clients) > MAX_CLIENTS:
            self._clients.popitem(last=False)
        return known


refusals = Refusals()
"""Of this process."""
