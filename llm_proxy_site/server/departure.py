"""Whether the other end of a connection has left, though what it sent before has not been read."""

import select
import socket

_READ_HANGUP = getattr(select, "POLLRDHUP", 0)
"""Elsewhere than on Linux only a reset is seen."""


def has_left(handle: socket.socket) -> bool:
    poll = select.poll()
    poll.register(handle, _READ_HANGUP)
    return bool(poll.poll(0))
