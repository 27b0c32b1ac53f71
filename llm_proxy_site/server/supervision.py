"""The supervisor, as a worker sees it: the shared socket, and the line on which it is told to end."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from llm_proxy_site.server.orders import Grace, Order, say_ready


@dataclass(slots=True)
class Supervision:
    listening_descriptor: int
    """Of the shared socket, which listens already."""
    line: socket.socket

    @classmethod
    def over(cls, listening_descriptor: int, line_descriptor: int) -> "Supervision":
        line = socket.socket(fileno=line_descriptor)
        line.setblocking(False)
        return cls(listening_descriptor, line)

    def say_ready(self, grace: Grace) -> None:
        with suppress(OSError):  # it is gone: `listen` tells
            self.line.send(say_ready(grace))

    def listen(
        self,
        loop: asyncio.AbstractEventLoop,
        on_order: Callable[[Order], None],
        on_gone: Callable[[], None],
    ) -> None:
        """Call back for each order, and once when the supervisor has died."""

        def read() -> None:
            try:
                words = self.line.recv(1024).decode().split()
            except BlockingIOError:
                return
            except OSError:
                words = []
            if not words:
                loop.remove_reader(self.line)
                on_gone()
            for word in words:
                on_order(Order(word))

        loop.add_reader(self.line, read)
