"""What of our words a client has not taken yet, and how much of it the system keeps for a connection."""

import socket
import struct

from llm_proxy_site.server.client_limits import ClientLimits
from llm_proxy_site.server.patience import WriteClock

MAX_UNSENT_BYTES = 128 * 1024
"""What the system takes of us beyond what is under way: else a client that does not read costs megabytes."""
_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", 25)
_INFO_BYTES = 128
_ACKED = struct.Struct("@Q")
_ACKED_AT = 120
"""`tcpi_bytes_acked` in Linux's `struct tcp_info`."""


class Unsent:
    """Of one connection."""

    def __init__(self, handle: socket.socket) -> None:
        self._handle = handle
        self._clock = WriteClock()
        bound_unsent(handle)

    def is_stalled(self, waiting_bytes: int, now: float, limits: ClientLimits) -> bool:
        """Whether the client has taken nothing for too long, while so much waits that the system has not
        taken either.
        """
        if not waiting_bytes:
            self._clock.rest()
            return False
        return self._clock.is_late(self._taken(waiting_bytes), now, limits)

    def _taken(self, waiting_bytes: int) -> int:
        """What the client's system has confirmed; where that is not told, what ours has taken shows it."""
        try:
            info = self._handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
            taken: int = _ACKED.unpack_from(info, _ACKED_AT)[0]
        except (OSError, AttributeError, struct.error):
            return -2 - waiting_bytes
        return taken


def bound_unsent(handle: socket.socket) -> None:
    try:
        handle.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, MAX_UNSENT_BYTES)
    except OSError:  # a Unix socket, or a system without it
        return
