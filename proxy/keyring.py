"""Which upstream key of a project is used next, and what is known of their health. No I/O.

A key that upstream refuses, or whose quota is used up, rests; of keys that all rest, the one is used whose
rest ends first, so that the client sees upstream's own truth.
"""

import random
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from tokens.grant import RingKey

MAX_KEYS = 4096
MAX_REST_SECONDS = 3600.0
MIN_REST_SECONDS = 5.0
"""Of a key without quota, whatever upstream says: else each request would ask it first."""


@dataclass(frozen=True, slots=True)
class Rests:
    """How long a key rests, in seconds, if upstream does not say."""

    refused: float
    quota: float


@dataclass(frozen=True, slots=True)
class KeyHealth:
    """Of a key that has failed. Instants are seconds since the epoch."""

    key_id: UUID
    failure_code: str
    failed_at: float
    cooling_until: float
    """0: it is used."""


class KeyRing:
    def __init__(self, rests: Rests, on_change: Callable[[KeyHealth], None]) -> None:
        """`on_change` is told of each failure, and when a key is well again before its rest has ended."""
        self._rests = rests
        self._on_change = on_change
        self._failed: OrderedDict[UUID, KeyHealth] = OrderedDict()
        self._suspected_by: dict[UUID, UUID] = {}
        """Of keys that have failed: the token that has found it."""

    def choose(self, keys: tuple[RingKey, ...], now: float) -> tuple[RingKey, ...]:
        """In the order in which they are to be tried: by chance and weight those that do not rest; as the
        last resort the one whose rest ends first. `now` is seconds since the epoch.
        """
        if len(keys) == 1:
            return keys
        awake = [key for key in keys if not self.is_resting(key, now)]
        # The largest of random numbers to the power of 1/weight: as often as its weight says.
        awake.sort(key=_chance, reverse=True)
        if len(awake) < len(keys):
            resting = (key for key in keys if self.is_resting(key, now))
            awake.append(min(resting, key=lambda key: self._failed[key.id].cooling_until))
        return tuple(awake)

    def is_resting(self, key: RingKey, now: float) -> bool:
        if not self._failed:
            return False
        health = self._failed.get(key.id)
        return health is not None and health.cooling_until > now

    def refused(self, key: RingKey, code: str, now: float) -> None:
        """Upstream does not want this key."""
        self._suspected_by.pop(key.id, None)
        self._note(KeyHealth(key.id, code, now, now + self._rests.refused))

    def ran_out(self, key: RingKey, code: str, now: float, rest_seconds: float | None) -> None:
        """Its quota is used up; `rest_seconds`: as upstream says."""
        rest = self._rests.quota if rest_seconds is None else min(rest_seconds, MAX_REST_SECONDS)
        rest = max(rest, min(MIN_REST_SECONDS, self._rests.quota))
        self._note(KeyHealth(key.id, code, now, now + rest))

    def forbidden(self, key: RingKey, code: str, now: float) -> None:
        """It may be the request's doing: it is noted, and the key rests no longer than it does."""
        known = self._failed.get(key.id)
        self._note(KeyHealth(key.id, code, now, known.cooling_until if known is not None else 0.0))

    def suspected(self, key: RingKey, code: str, now: float, token_id: UUID) -> None:
        """No other key could be asked. If two tokens find it so, and it works for nobody in between, it is
        the key's doing.
        """
        first = self._suspected_by.setdefault(key.id, token_id)
        (self.forbidden if first == token_id else self.refused)(key, code, now)

    def works(self, key: RingKey, *, was_resting: bool) -> None:
        """It has answered. If it `was_resting` and was tried all the same, it need not rest."""
        if not self._failed:
            return
        self._suspected_by.pop(key.id, None)
        health = self._failed.pop(key.id, None) if was_resting else None
        if health is not None:
            self._on_change(KeyHealth(key.id, health.failure_code, health.failed_at, 0.0))

    def snapshot(self) -> list[KeyHealth]:
        return list(self._failed.values())

    def _note(self, health: KeyHealth) -> None:
        self._failed[health.key_id] = health
        self._failed.move_to_end(health.key_id)
        if len(self._failed) > MAX_KEYS:
            self._suspected_by.pop(self._failed.popitem(last=False)[0], None)
        self._on_change(health)


def _chance(key: RingKey) -> float:
    return random.random() ** (1 / key.weight)  # type: ignore[no-any-return]  # noqa: S311 (no secret)
