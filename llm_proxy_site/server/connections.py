"""All connections of a server: how many there may be, and the end of those whose clients took too long.

Its one rule: where there is no room, nothing is accepted. Who waits to be accepted costs nothing.
"""

import time
from operator import attrgetter
from typing import Any, Protocol

import structlog

from llm_proxy_site.server.client_limits import ClientLimits
from llm_proxy_site.server.places import Places

LOOK_SECONDS = 0.5
"""How often all connections are looked at: one clock for all costs less than one for each."""
MAX_ACCEPTS = 64
"""About so many connections are accepted at a time: fewer than OVERSHOOT."""
MADE_ROOM = 64
"""Idle connections that are closed at a time for others."""

log = structlog.get_logger("server")


class Listener(Protocol):
    """A socket on which clients are accepted."""

    def wait(self) -> None:
        """Accept nobody, until `accept_again`."""

    def accept_again(self, room: int) -> None:
        """No more than so many at once."""


class Connections:
    def __init__(self, limits: ClientLimits) -> None:
        self.limits = limits
        self.places = Places(limits)
        self.open: set[Any] = set()
        """Those that speak HTTP: `ClientConnection`s."""
        self.sockets: set[Any] = set()
        """Those that speak WebSocket."""
        self._waiting: set[Listener] = set()

    def opened(self, connection: Any) -> None:
        self.open.add(connection)

    def look_for_room(self, listener: Listener) -> None:
        """To be called when it has accepted somebody: the last place may be taken."""
        if self.places.is_full and listener not in self._waiting:
            self._waiting.add(listener)
            listener.wait()
            self._close_idle()

    def upgraded(self, connection: Any) -> None:
        """It is one of the WebSockets now, and keeps its place."""
        self.open.discard(connection)

    def closed(self, connection: Any, host: str) -> None:
        self.open.discard(connection)
        self.sockets.discard(connection)
        self.places.leave(host)
        if self._waiting and not self.places.is_full:
            self._accept_again()

    def look(self) -> None:
        """To be called every LOOK_SECONDS."""
        now = time.monotonic()
        for connection in (*self.open, *self.sockets):
            try:
                connection.end_if_late(now, self.limits)
            except Exception:
                log.exception("a connection cannot be looked at")  # the others can
        if self._waiting:
            self._close_idle()  # those that were busy when the listener began to wait

    def close_quiet(self, before: float) -> None:
        """Those of which nothing was heard since (`time.monotonic`)."""
        for connection in list(self.open):
            if connection.is_quiet_since(before):
                connection.close()

    def _accept_again(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for listener in waiting:
            listener.accept_again(min(max(1, self.places.left), MAX_ACCEPTS))

    def _close_idle(self) -> None:
        idle = [connection for connection in self.open if connection.idle_since is not None]
        for connection in sorted(idle, key=attrgetter("idle_since"))[:MADE_ROOM]:
            connection.close()
