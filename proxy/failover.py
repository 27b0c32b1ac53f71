"""The upstream keys that one request may still be tried with, and what the refusals of the others say of
them.
"""

import time
from collections.abc import Iterable
from http import HTTPStatus

from proxy.errors import UpstreamUnavailable
from proxy.leave import Leave
from proxy.refusals import KeyRefusal
from proxy.retry import told_seconds
from proxy.upstreams import Upstreams
from tokens.grant import RingKey


class Failover:
    def __init__(self, upstreams: Upstreams, base_url: str, keys: tuple[RingKey, ...]) -> None:
        self._upstreams = upstreams
        self._base_url = base_url
        self._untried = keys
        self._forbidden: list[tuple[RingKey, KeyRefusal]] = []
        """Keys that were refused with 403: the request's doing, if all of them are."""

    def note(self, key: RingKey, refusal: KeyRefusal, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Upstream has refused this key, in an answer with these headers (lower-case names)."""
        ring, now = self._upstreams.ring, time.time()
        self._untried = tuple(other for other in self._untried if other.id != key.id)
        if refusal.is_quota:
            ring.ran_out(key, refusal.code, now, told_seconds(headers, now=now))
        elif refusal.status == HTTPStatus.FORBIDDEN:
            self._forbidden.append((key, refusal))
        else:
            ring.refused(key, refusal.code, now)

    def another(self) -> Leave | None:
        """Leave to ask with a key that has not been tried and does not rest."""
        now = time.time()
        awake = tuple(key for key in self._untried if not self._upstreams.ring.is_resting(key, now))
        if not awake:
            return None
        try:
            return self._upstreams.try_again(self._base_url, awake)
        except UpstreamUnavailable:
            return None

    def settle(self, last: KeyRefusal | None = None) -> None:
        """There is no other key to try, or no need to: `last` is why the last one was refused, if it was."""
        ring, now = self._upstreams.ring, time.time()
        is_requests_doing = last is not None and last.status == HTTPStatus.FORBIDDEN
        for key, refusal in self._forbidden:
            (ring.forbidden if is_requests_doing else ring.refused)(key, refusal.code, now)
        self._forbidden = []
