"""What of our words a client has not taken yet, and how much of it the system keeps for a connection."""

import socket
import struct
from contextlib import suppress
from typing import Any

from llm_proxy_site.server.client_limits import ClientLimits
from llm_proxy_site.server.patience import WriteClock

MAX_UNSENT_BYTES = 128 * 1024
"""What the system takes of us beyond what is under way: else a client that does not read costs megabytes."""
_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", 25)
_INFO_BYTES = 128
_ACKED = struct.Struct("@Q")
_ACKED_AT = 120
"""`tcpi_bytes_acked` in Linux's `struct tcp_info`."""


class Outlet:
    """The writing side of one connection."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._clock = WriteClock()
        bound_unsent(transport.getHandle())

    def is_stalled(self, now: float, limits: ClientLimits) -> bool:
        """Whether the client has taken nothing for too long."""
        left = waiting_bytes(self._transport)
        if not left:
            self._clock.rest()
            return False
        return self._clock.is_late(_taken(self._transport, left), now, limits)

    def send(self, data: bytes) -> None:
        """What the system takes goes out now; Twisted would first ask the event loop to say when. What is not
        taken, or fails, goes that way.
        """
        transport = self._transport
        if transport.connected and not transport.disconnecting and not waiting_bytes(transport):
            with suppress(OSError):  # most of all: the system takes nothing now
                data = data[transport.getHandle().send(data) :]
        if data:
            transport.write(data)


def waiting_bytes(transport: Any) -> int:
    """That the system has not taken."""
    left: int = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
    return left


def bound_unsent(handle: socket.socket) -> None:
    try:
        handle.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, MAX_UNSENT_BYTES)
    except OSError:  # a Unix socket, or a system without it
        return


def _taken(transport: Any, left: int) -> int:
    """What the client's system has confirmed; where that is not told, what ours has taken shows it."""
    try:
        info = transport.getHandle().getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
        taken: int = _ACKED.unpack_from(info, _ACKED_AT)[0]
    except (OSError, AttributeError, struct.error):
        return -2 - left
    return taken
