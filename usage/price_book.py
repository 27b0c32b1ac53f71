"""PriceBook: the price that holds for a model, from memory: the operators' prices first, then genai-prices.

Clients choose the names that are looked up: nothing is remembered without a bound.
"""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from usage.model_names import best_match
from usage.price_overrides import Override
from usage.prices import Price

MAX_ENTRIES = 2048
LONGEST_NAME = 200
"""Of a model or a service tier; what is longer is none of OpenAI's."""
DAY_SECONDS = 86_400


class PriceBook:
    """For all threads: only what is not remembered waits for a lock. Answers are remembered until overrides
    change or the UTC day ends, for prices have dates.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        from usage.known_prices import KnownPrices  # 0.2 s and 30 MB, which most commands need not pay

        self._known = KnownPrices()
        self._clock = clock
        self._overrides: tuple[Override, ...] = ()
        self._by_name: dict[str, Override] = {}
        self._lock = threading.Lock()
        self._found: dict[tuple[str, str], Price | None] = {}
        self._forget_at = 0.0

    def find(self, model: str, service_tier: str = "") -> Price | None:
        """None: it has no price in model tokens."""
        now = self._clock()
        if now >= self._forget_at:
            with self._lock:
                self._found.clear()
                self._forget_at = now - now % DAY_SECONDS + DAY_SECONDS
        try:
            return self._found[model, service_tier]
        except KeyError:
            return self._look_up(model, service_tier, now)

    def find_override(self, model: str) -> Override | None:
        return best_match(self._by_name, model)

    def name_of(self, model: str) -> str | None:
        """Under which its price is known: of operators' prices the pattern, of others without its date."""
        if self.find(model) is None:
            return None
        override = self.find_override(model)
        return override.model if override is not None else self._known.name_of(model)

    def set_overrides(self, overrides: tuple[Override, ...]) -> None:
        """These and no others. Costs nothing when they are what they were."""
        if overrides == self._overrides:
            return
        with self._lock:
            self._overrides = overrides
            self._by_name = {override.model: override for override in overrides}
            self._found.clear()

    def _look_up(self, model: str, service_tier: str, now: float) -> Price | None:
        if len(model) > LONGEST_NAME:
            return None
        if len(service_tier) > LONGEST_NAME:
            return self.find(model)
        with self._lock:
            if len(self._found) >= MAX_ENTRIES:
                self._found.clear()
            price = self._overriding(model) or self._known.find(
                model, service_tier, datetime.fromtimestamp(now, UTC)
            )
            self._found[model, service_tier] = price
            return price

    def _overriding(self, model: str) -> Price | None:
        override = self.find_override(model)
        if override is None:
            return None
        context_window, most_output = self._known.limits(model)
        context_window = _first(override.context_window, context_window)
        return Price(
            override.rates,
            context_window=context_window,
            max_output_tokens=_first(override.max_output_tokens, most_output, context_window),
        )


def _first(*counts: int | None) -> int | None:
    return next((count for count in counts if count is not None), None)
