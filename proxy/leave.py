"""Leave to ask an upstream once, and what becomes of it: the breakers and the key ring are told here."""

import time
from http import HTTPStatus

from proxy.breaker import Breaker, Pass
from proxy.keyring import KeyRing
from proxy.retry import RetryBudget
from tokens.grant import RingKey

FAILING = frozenset(
    {
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)


class Upstream:
    """One base URL."""

    __slots__ = ("breaker", "budget", "routes")

    def __init__(self, breaker: Breaker, budget: RetryBudget) -> None:
        self.breaker = breaker
        self.budget = budget
        self.routes = 0
        """How many keys are known there."""


class Route:
    """A key at a base URL."""

    __slots__ = ("breaker", "upstream")

    def __init__(self, upstream: Upstream, breaker: Breaker) -> None:
        self.upstream = upstream
        self.breaker = breaker


class Leave:
    """Leave to ask upstream once, with this key. Whoever has one tells how it went; again is harmless."""

    __slots__ = (
        "_is_connected",
        "_is_told",
        "_of_connection",
        "_of_key",
        "_ring",
        "_route",
        "_was_resting",
        "key",
    )

    def __init__(
        self,
        key: RingKey,
        route: Route,
        ring: KeyRing,
        of_connection: Pass,
        of_key: Pass,
        was_resting: bool,
    ) -> None:
        self.key = key
        self._route = route
        self._ring = ring
        self._of_connection = of_connection
        self._of_key = of_key
        self._was_resting = was_resting
        self._is_told = False
        self._is_connected = False

    def connected(self) -> None:
        """There is a connection: that much is known at once, however long the answer takes."""
        if not self._is_connected:
            self._is_connected = True
            self._route.upstream.breaker.succeeded(self._of_connection, time.monotonic())

    def answered(self, status: int) -> None:
        """Upstream has: the head of its answer is there."""
        now = self._tell()
        if now is None:
            return
        self.connected()
        if status in FAILING:
            self._route.breaker.failed(self._of_key, now)
            return
        self._route.breaker.succeeded(self._of_key, now)
        if status < HTTPStatus.BAD_REQUEST:
            self._ring.works(self.key, was_resting=self._was_resting)

    def was_silent(self) -> None:
        """There was a connection, and no answer came of it."""
        now = self._tell()
        if now is not None:
            self.connected()
            self._route.breaker.failed(self._of_key, now)

    def was_unreachable(self) -> None:
        """There was no connection."""
        now = self._tell()
        if now is not None:
            self._route.upstream.breaker.failed(self._of_connection, now)
            self._route.breaker.forget(self._of_key)

    def forget(self) -> None:
        """It ended by no doing of upstream's."""
        if self._tell() is not None:
            self._route.upstream.breaker.forget(self._of_connection)
            self._route.breaker.forget(self._of_key)

    def count_request(self) -> None:
        """A request of the client's: what may be repeated is a share of these."""
        self._route.upstream.budget.note_request()

    def take_retry(self) -> bool:
        """Whether the budget has a repetition left; it is taken then."""
        return self._route.upstream.budget.take(time.monotonic())

    def _tell(self) -> float | None:
        if self._is_told:
            return None
        self._is_told = True
        return time.monotonic()
