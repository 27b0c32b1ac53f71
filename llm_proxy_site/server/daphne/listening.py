"""The socket that the workers share: made by the supervisor, adopted by each of them.

One queue of connections for all, so that whoever is free takes the next one, and none waits for a worker that
is busy, restarting or dead.
"""

import socket
from typing import Any

from twisted.internet import reactor, tcp


class SharedPort(tcp.Port):
    """Takes one connection at a time: the next may be for another worker, which has more time."""

    def doRead(self) -> None:
        self.numberAccepts = 1
        super().doRead()


def adopt(descriptor: int, factory: Any) -> SharedPort:
    """Accept connections of a socket that listens already. The descriptor is the port's from now on."""
    with socket.socket(fileno=descriptor) as given:
        given.setblocking(False)
        port: SharedPort = SharedPort._fromListeningDescriptor(reactor, given.fileno(), given.family, factory)
    port.startListening()
    return port
