"""How long a client is waited for: three clocks, each of which is told what happens and when. Pure."""

from enum import Enum, auto

from llm_proxy_site.server.client_limits import ClientLimits

WINDOW_SECONDS = 60.0
"""Of waiting for a body: over so much of it the average counts."""


class Turn(Enum):
    """Whom a connection waits for."""

    HEAD = auto()
    IDLE = auto()
    SERVER = auto()
    """A request has begun: its body has a clock of its own."""


class HeadClock:
    """The time between requests, and that of a request's head, which no byte extends."""

    def __init__(self, now: float) -> None:
        self.turn = Turn.HEAD
        self.since = now

    def change(self, turn: Turn, now: float) -> None:
        self.turn, self.since = turn, now

    def is_late(self, now: float, limits: ClientLimits) -> bool:
        if self.turn is Turn.SERVER:
            return False
        patience = limits.header_seconds if self.turn is Turn.HEAD else limits.idle_seconds
        return now - self.since >= patience


class BodyClock:
    """Runs only while the application waits for the client: a slow upstream is not its fault."""

    def __init__(self) -> None:
        self._waiting_since: float | None = None
        self._waited_seconds = 0.0
        self._bytes = 0

    def wait(self, now: float) -> None:
        self._waiting_since = now

    def came(self, size_bytes: int, now: float) -> None:
        self._bytes += size_bytes
        self.stop(now)

    def stop(self, now: float) -> None:
        if self._waiting_since is not None:
            self._waited_seconds += now - self._waiting_since
            self._waiting_since = None

    def is_late(self, now: float, limits: ClientLimits) -> bool:
        waiting = 0.0 if self._waiting_since is None else now - self._waiting_since
        if waiting >= limits.body_seconds:
            return True
        if self._waited_seconds + waiting < WINDOW_SECONDS:
            return False
        is_slow = self._bytes < limits.body_bytes_per_second * WINDOW_SECONDS
        # The next window begins, in the midst of the waiting.
        self._waited_seconds, self._bytes = -waiting, 0
        return is_slow


class WriteClock:
    """Since when a client has taken nothing of what waits for it."""

    def __init__(self) -> None:
        self._taken = -1
        self._since = 0.0

    def is_late(self, taken: int, now: float, limits: ClientLimits) -> bool:
        """`taken` grows with what the client takes. Asked only while something waits; see `rest`."""
        if taken != self._taken:
            self._taken, self._since = taken, now
        return now - self._since >= limits.write_seconds

    def rest(self) -> None:
        """Nothing waits."""
        self._taken = -1
