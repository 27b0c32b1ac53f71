"""One connection that speaks HTTP/1.1, as far as all servers have it alike: what is waited for on it."""

import socket
import time
from abc import abstractmethod

from llm_proxy_site.server import lifecycle
from llm_proxy_site.server.client_limits import ClientLimits
from llm_proxy_site.server.connections import Connections
from llm_proxy_site.server.departure import has_left
from llm_proxy_site.server.patience import HeadClock, Turn
from llm_proxy_site.server.request_body import RequestBody
from llm_proxy_site.server.request_head import RequestHead
from proxy.types import Scope

MAX_PAUSE_SECONDS = 600.0
"""How long an upload may stand still because nobody takes it on."""


class ClientConnection:
    """A mixin: the server's own class of a connection says how it is read, written and closed."""

    is_refused = False
    """Whether the client was told that what it sends is no request."""

    def begin_waiting(self, host: str) -> None:
        """The connection was made, from there."""
        self.host = host
        self.clock = HeadClock(time.monotonic())
        self.paused_since: float | None = None

    @property
    @abstractmethod
    def is_idle(self) -> bool:
        """Whether no request has begun that was not answered."""

    @property
    @abstractmethod
    def has_begun(self) -> bool:
        """Whether something of a request has come that was not answered."""

    @property
    @abstractmethod
    def body(self) -> RequestBody | None:
        """Of the request that has begun."""

    @property
    @abstractmethod
    def handle(self) -> socket.socket: ...

    @abstractmethod
    def is_stalled(self, now: float, limits: ClientLimits) -> bool:
        """Whether the client has taken nothing of what waits for it, for too long."""

    @abstractmethod
    def close(self) -> None:
        """After what has been written."""

    @abstractmethod
    def abort(self) -> None: ...

    @abstractmethod
    def refuse(self, status: int, message: str) -> None:
        """Say what is wrong, if no answer has begun, and close. What still comes is read and forgotten."""

    @abstractmethod
    def read_no_more(self) -> None: ...

    @abstractmethod
    def read_on(self) -> None: ...

    def pause_reading(self) -> None:
        # It is we who make the client wait, but not for ever: a paused socket does not tell of a hang-up.
        if self.paused_since is None:
            self.paused_since = time.monotonic()
        self.read_no_more()

    def resume_reading(self) -> None:
        if self.paused_since is not None:
            self.paused_since = None
            self.read_on()

    def is_wanted(self, connections: Connections) -> bool:
        """Whether the connection can be kept for another request: not while the server stops, or places are
        scarce.
        """
        return not lifecycle.is_leaving() and not connections.places.are_scarce(self.host)

    def is_quiet_since(self, before: float) -> bool:
        """Nothing of a request has come since it was opened, or its last one ended (`time.monotonic`)."""
        has_begun = not self.is_refused and self.has_begun
        return self.is_idle and not has_begun and self.clock.since <= before

    @property
    def idle_since(self) -> float | None:
        """None: a request is under way, or its head."""
        return self.clock.since if self.clock.turn is Turn.IDLE else None

    def end_if_late(self, now: float, limits: ClientLimits) -> None:
        """The client has had its time, for what it is waited for."""
        if self.is_stalled(now, limits):
            self.abort()
        elif self.is_refused:
            return  # it lingers, for a moment
        elif self.clock.is_late(now, limits):
            self._end_head()
        elif self.paused_since is not None:
            if now - self.paused_since > MAX_PAUSE_SECONDS or has_left(self.handle):
                self.abort()
        elif self.body is not None and self.body.clock.is_late(now, limits):
            self.refuse(408, "The request's body did not come in time.")

    def _end_head(self) -> None:
        if self.has_begun:
            self.refuse(408, "The request's headers did not come in time.")
        else:
            self.close()  # nothing has begun


def says_close(head: RequestHead) -> bool:
    """Whether the client keeps the connection for this request only."""
    options = b",".join(head.values(b"connection")).lower()
    return bool(options) and b"close" in [option.strip() for option in options.split(b",")]


def listed(scope: Scope, name: bytes) -> list[bytes]:
    """The members of a header that is a comma-separated list."""
    values = b",".join(value for found, value in scope["headers"] if found == name)
    return [member.strip() for member in values.split(b",") if member.strip()]
