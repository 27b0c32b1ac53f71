"""How many connections there are, in all and of each address; who comes too many is turned away."""

import time
from collections import Counter

import structlog

from llm_proxy_site.server.client_limits import OVERSHOOT, ClientLimits
from proxy.client_address import network_of

SCARCE = 0.9
"""From this part of the places on connections are not kept for another request."""
WARN_SECONDS = 60.0

log = structlog.get_logger("server")


class Places:
    def __init__(self, limits: ClientLimits) -> None:
        self._limits = limits
        self._taken: Counter[str] = Counter()
        self._warned_at = float("-inf")
        self.count = 0

    @property
    def is_full(self) -> bool:
        return self.left <= 0

    @property
    def left(self) -> int:
        return self._limits.max_connections - self.count

    def take(self, host: str) -> bool:
        """A place for a connection from there, if there is one."""
        network = network_of(host)
        most = self._limits.max_connections_per_address
        if most and self._taken[network] >= most:
            self._warn(network)
            return False
        if self.count >= self._limits.max_connections + OVERSHOOT:
            return False
        self._taken[network] += 1
        self.count += 1
        return True

    def leave(self, host: str) -> None:
        network = network_of(host)
        self.count -= 1
        self._taken[network] -= 1
        if not self._taken[network]:
            del self._taken[network]

    def are_scarce(self, host: str) -> bool:
        """Whether a connection from there should not be kept when it is idle."""
        most = self._limits.max_connections_per_address
        return self.count >= SCARCE * self._limits.max_connections or (
            most > 0 and self._taken[network_of(host)] >= SCARCE * most
        )

    def _warn(self, network: str) -> None:
        now = time.monotonic()
        if now - self._warned_at >= WARN_SECONDS:
            self._warned_at = now
            log.warning(
                "an address has all the connections that it may have",
                address=network,
                connections=self._taken[network],
            )
