"""The upstream keys that one request may still be tried with, and what the refusals of the others say of
them. A refusal is the key's doing only if upstream took another key for the same request.
"""

import time
from collections.abc import Iterable

from proxy.errors import UpstreamUnavailable
from proxy.leave import Leave
from proxy.refusals import Asking, KeyRefusal
from proxy.retry import told_seconds
from proxy.upstreams import Upstreams
from tokens.grant import RingKey

MAX_KEYS_ASKED = 3
"""With so many one request is tried, where all refuse: it is asked no more often than a repeated one."""


class Failover:
    def __init__(
        self, upstreams: Upstreams, base_url: str, keys: tuple[RingKey, ...], asking: Asking
    ) -> None:
        """`asking`: who asks for what."""
        self._upstreams = upstreams
        self._base_url = base_url
        self._untried = keys
        self._asking = asking
        self._asked = 0
        self._refused: list[tuple[RingKey, KeyRefusal]] = []

    def note(self, key: RingKey, refusal: KeyRefusal, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Upstream has refused this key, in an answer with these headers (lower-case names)."""
        self._untried = tuple(other for other in self._untried if other.id != key.id)
        self._asked += 1
        if refusal.is_quota:
            now = time.time()
            self._upstreams.ring.ran_out(key, refusal.code, now, told_seconds(headers, now=now))
        else:
            self._refused.append((key, refusal))

    def another(self) -> Leave | None:
        """Leave to ask with a key that has not been tried and does not rest."""
        now = time.time()
        if self._asked >= MAX_KEYS_ASKED or self._upstreams.refused_requests.has(self._asking, now):
            return None
        awake = tuple(key for key in self._untried if not self._upstreams.ring.is_resting(key, now))
        if not awake:
            return None
        try:
            return self._upstreams.try_again(self._base_url, awake)
        except UpstreamUnavailable:
            return None

    def settle(self, *, was_taken: bool, could_be_sent_again: bool = True) -> None:
        """No other key is tried. `was_taken`: whether upstream has taken the last one."""
        ring, now = self._upstreams.ring, time.time()
        for key, refusal in self._refused:
            if was_taken:
                ring.refused(key, refusal.code, now)
            elif not could_be_sent_again:
                ring.suspected(key, refusal.code, now, self._asking.token_id)
            else:
                ring.forbidden(key, refusal.code, now)
        if len(self._refused) > 1 and not was_taken:
            self._upstreams.refused_requests.note(self._asking, now)
        self._refused = []
