"""The socket on which clients are accepted: one of our own, or the one that the workers share."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import structlog

REST_SECONDS = 1.0
"""After the system could give no connection: it has no more files, most of all."""

log = structlog.get_logger("server")


class AcceptingSocket:
    def __init__(
        self,
        listening: socket.socket,
        loop: asyncio.AbstractEventLoop,
        accepted: Callable[[socket.socket, str], None],
        *,
        at_once: int,
    ) -> None:
        """`accepted` is called with each connection and the address that it comes from. Where others share
        the socket, one is taken at a time: the next may be for somebody who has more time.
        """
        listening.setblocking(False)
        self._listening = listening
        self._loop = loop
        self._accepted = accepted
        self._at_once = at_once
        self._room = at_once
        self._is_reading = False

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._listening.getsockname()[:2]
        return host, port

    def accept(self) -> None:
        if not self._is_reading and self._listening.fileno() >= 0:
            self._is_reading = True
            self._loop.add_reader(self._listening, self._take)

    def wait(self) -> None:
        if self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._listening)

    def accept_again(self, room: int) -> None:
        self._room = min(room, self._at_once)
        self.accept()

    def close(self) -> None:
        self.wait()
        self._listening.close()

    def _take(self) -> None:
        room, self._room = self._room, self._at_once
        for _ in range(room):
            try:
                connection, address = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                log.exception("no connection can be accepted")
                self.wait()
                self._loop.call_later(REST_SECONDS, self.accept)
                return
            connection.setblocking(False)
            self._accepted(connection, _host(address))
            if not self._is_reading:
                return


def _host(address: Any) -> str:
    return str(address[0]) if isinstance(address, tuple) else ""
