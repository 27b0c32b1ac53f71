"""How the server ends: every connection is told before it is closed.

An answer on a connection that will not serve another says so (`Connection: close`); a client that sends its
next request in the meantime is still answered. Connections that stay idle are closed: soon where there is a
hurry, and else after a time in which clients of their own accord no longer use them.
"""

import asyncio
from collections.abc import Collection
from time import monotonic

from llm_proxy_site.server.connections import Connections
from llm_proxy_site.server.orders import Grace

LOOK_SECONDS = 0.02
HURRIED_IDLE_SECONDS = 0.3
"""A pool under load uses each connection within it, and so learns that it is closed."""
CALM_IDLE_SECONDS = 95.0
"""Longer than the usual clients keep an idle connection: httpx and the SDKs 5 s, aiohttp 15 s, nginx 60 s,
Go 90 s. Connections that are always kept for less (`ClientLimits.idle_seconds`) end by that clock.
"""


class Draining:
    """Waits for the clients of a server: its connections, WebSockets and running applications."""

    def __init__(
        self, clients: Connections, running: Collection[object], grace: Grace, *, in_hurry: bool
    ) -> None:
        self._clients = clients
        self._running = running
        self._grace = grace
        self.in_hurry = in_hurry
        """May be set while `calmly` waits, which then gives up."""

    async def calmly(self) -> bool:
        """Whether all is quiet. Others take the new clients meanwhile."""
        return await self._until_quiet(self._grace.restart, CALM_IDLE_SECONDS, also_in_hurry=False)

    async def quickly(self) -> bool:
        self.in_hurry = True
        return await self._until_quiet(self._grace.stop, HURRIED_IDLE_SECONDS, also_in_hurry=True)

    async def _until_quiet(self, seconds: float, idle_seconds: float, *, also_in_hurry: bool) -> bool:
        began = monotonic()
        next_look = began + idle_seconds
        while not self._is_quiet():
            now = monotonic()
            if now > began + seconds or (self.in_hurry and not also_in_hurry):
                return False
            if now >= next_look:
                self._clients.close_quiet(before=now - idle_seconds)
                next_look = now + idle_seconds / 10
            await asyncio.sleep(LOOK_SECONDS)
        return True

    def _is_quiet(self) -> bool:
        return not (self._clients.open or self._running or self._clients.sockets)
