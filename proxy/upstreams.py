"""What this process knows of upstreams and keys: which of them answer, and which are left alone for a while.

A breaker for each base URL counts connections that fail; one for each key there counts answers that fail, so
that what one project's key provokes is no other project's loss. Only what upstream did is counted.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import structlog
from django.conf import settings

from proxy.breaker import Breaker, BreakerRules, State
from proxy.errors import UpstreamUnavailable
from proxy.keyring import KeyHealth, KeyRing, Rests
from proxy.leave import Leave, Route, Upstream
from proxy.refusals import RefusedRequests
from proxy.retry import RetryBudget
from tokens.grant import RingKey

MAX_ROUTES = 4096

log = structlog.get_logger("proxy")


@dataclass(frozen=True, slots=True)
class BreakerState:
    """For metrics and the admin. `key_id` is None for the connections to a base URL."""

    base_url: str
    key_id: UUID | None
    state: State
    successes: int
    failures: int


class Upstreams:
    def __init__(self, on_health: Callable[[KeyHealth], None] = lambda health: None) -> None:
        """`on_health` is told when there is something to be told of a key's health."""
        self.ring = KeyRing(
            Rests(refused=settings.KEY_REFUSED_COOLDOWN_SECONDS, quota=settings.KEY_QUOTA_COOLDOWN_SECONDS),
            on_health,
        )
        self.max_retries: int = settings.UPSTREAM_MAX_RETRIES
        self._rules = BreakerRules(
            failure_percent=settings.BREAKER_FAILURE_PERCENT,
            min_requests=settings.BREAKER_MIN_REQUESTS,
            window_seconds=settings.BREAKER_WINDOW_SECONDS,
            open_seconds=settings.BREAKER_OPEN_SECONDS,
        )
        self.refused_requests = RefusedRequests()
        self._upstreams: dict[str, Upstream] = {}
        """Of each route; no other."""
        # A UUID's number is its hash, without a call.
        self._routes: OrderedDict[tuple[str, int], Route] = OrderedDict()
        self._troubled: set[Breaker] = set()
        """Those that are not closed."""

    def admit(self, base_url: str, keys: tuple[RingKey, ...]) -> Leave:
        """Leave for one request's first attempt. Raises UpstreamUnavailable."""
        leave = self.try_again(base_url, keys)
        leave.count_request()
        return leave

    def try_again(self, base_url: str, keys: tuple[RingKey, ...]) -> Leave:
        """Leave for another attempt of a request, with one of these keys. Raises UpstreamUnavailable."""
        now, ring = time.monotonic(), self.ring
        wall = time.time()
        chosen = ring.choose(keys, wall)
        for key in chosen:
            route = self._route(base_url, key.id)
            of_connection = route.upstream.breaker.admit(now)
            if of_connection is None:
                break  # it is the same for every key
            of_key = route.breaker.admit(now)
            if of_key is not None:
                resting = ring.is_resting(key, wall)
                return Leave(key, route, ring, of_connection, of_key, resting)
            route.upstream.breaker.forget(of_connection)
        raise UpstreamUnavailable(self._seconds_to_wait(base_url, chosen, now))

    def check(self, base_url: str, keys: tuple[RingKey, ...]) -> None:
        """As `admit` would, but nothing is taken. Raises UpstreamUnavailable."""
        if not self._troubled:
            return
        chosen = self.ring.choose(keys, time.time())
        seconds = self._seconds_to_wait(base_url, chosen, time.monotonic())
        if seconds > 0:
            raise UpstreamUnavailable(seconds)

    def snapshot(self) -> list[BreakerState]:
        """Breakers that have seen anything within their window, or are not closed."""
        now = time.monotonic()
        breakers: list[tuple[str, UUID | None, Breaker]] = [
            *((base_url, None, upstream.breaker) for base_url, upstream in self._upstreams.items()),
            *(
                (base_url, UUID(int=number), route.breaker)
                for (base_url, number), route in self._routes.items()
            ),
        ]
        states = [BreakerState(url, key_id, each.state, *each.counts(now)) for url, key_id, each in breakers]
        return [state for state in states if state.successes or state.failures or state.state != State.CLOSED]

    def _seconds_to_wait(self, base_url: str, keys: tuple[RingKey, ...], now: float) -> float:
        routes = [self._route(base_url, key.id) for key in keys]
        of_keys = min(route.breaker.seconds_to_wait(now) for route in routes)
        return max(of_keys, routes[0].upstream.breaker.seconds_to_wait(now))

    def _route(self, base_url: str, key_id: UUID) -> Route:
        name = base_url, key_id.int
        route = self._routes.get(name)
        if route is not None:
            self._routes.move_to_end(name)
            return route
        route = Route(self._upstream(base_url), self._breaker(base_url, key_id))
        self._routes[name] = route
        route.upstream.routes += 1
        if len(self._routes) > MAX_ROUTES:
            self._forget_oldest()
        return route

    def _forget_oldest(self) -> None:
        (base_url, _), route = self._routes.popitem(last=False)
        self._troubled.discard(route.breaker)
        route.upstream.routes -= 1
        if not route.upstream.routes:
            del self._upstreams[base_url]
            self._troubled.discard(route.upstream.breaker)

    def _upstream(self, base_url: str) -> Upstream:
        found = self._upstreams.get(base_url)
        if found is None:
            budget = RetryBudget(settings.UPSTREAM_RETRY_BUDGET_PERCENT)
            found = self._upstreams[base_url] = Upstream(self._breaker(base_url, None), budget)
        return found

    def _breaker(self, base_url: str, key_id: UUID | None) -> Breaker:
        of = {"upstream_key_id": str(key_id)} if key_id else {}

        def tell(breaker: Breaker) -> None:
            if breaker.state is State.CLOSED:
                self._troubled.discard(breaker)
            else:
                self._troubled.add(breaker)
            say = log.info if breaker.state is State.CLOSED else log.warning
            say("the breaker of an upstream changes", url=base_url, state=breaker.state.value, **of)

        return Breaker(self._rules, tell)
