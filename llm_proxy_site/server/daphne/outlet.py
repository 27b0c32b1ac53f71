"""The writing side of one connection of Twisted's."""

from contextlib import suppress
from typing import Any

from llm_proxy_site.server.client_limits import ClientLimits
from llm_proxy_site.server.unsent import Unsent


class Outlet:
    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._unsent = Unsent(transport.getHandle())

    def is_stalled(self, now: float, limits: ClientLimits) -> bool:
        """Whether the client has taken nothing for too long."""
        return self._unsent.is_stalled(self._waiting_bytes(), now, limits)

    def send(self, data: bytes) -> None:
        """What the system takes goes out now; Twisted would first ask the event loop to say when. What is not
        taken, or fails, goes that way.
        """
        transport = self._transport
        if transport.connected and not transport.disconnecting and not self._waiting_bytes():
            with suppress(OSError):  # most of all: the system takes nothing now
                data = data[transport.getHandle().send(data) :]
        if data:
            transport.write(data)

    def _waiting_bytes(self) -> int:
        """That the system has not taken."""
        transport = self._transport
        left: int = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
        return left
