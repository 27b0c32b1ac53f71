"""The prices that operators have set, as plain data: for the price book, and for people."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from projects.money import MICROUSD, usd_text
from usage.models import ModelPrice
from usage.prices import Rates

AMOUNTS = (
    "input_price",
    "cached_input_price",
    "output_price",
    "audio_input_price",
    "audio_output_price",
)
MODEL_LIMITS = ("context_window", "max_output_tokens")


@dataclass(frozen=True, slots=True)
class Override:
    model: str
    """A name or a pattern."""
    rates: Rates
    context_window: int | None
    max_output_tokens: int | None


def load_overrides() -> tuple[Override, ...]:
    """All of them, from the database."""
    return tuple(_override(price) for price in ModelPrice.objects.all())


def price_facts(price: ModelPrice) -> dict[str, Any]:
    """The row for people: US dollars per million model tokens, as text."""
    return {
        "model": price.model,
        **{name: usd(getattr(price, name)) for name in AMOUNTS},
        **{name: getattr(price, name) for name in MODEL_LIMITS},
    }


def usd(amount: Decimal | None) -> str | None:
    return None if amount is None else usd_text(int(amount * MICROUSD))


def _override(price: ModelPrice) -> Override:
    cached_input = _rate(price.cached_input_price)
    return Override(
        model=price.model,
        rates=Rates.of(
            text_input=_rate(price.input_price) or 0,
            cached_input=cached_input,
            audio_input=_rate(price.audio_input_price),
            cached_audio_input=cached_input,
            text_output=_rate(price.output_price) or 0,
            audio_output=_rate(price.audio_output_price),
        ),
        context_window=price.context_window,
        max_output_tokens=price.max_output_tokens,
    )


def _rate(amount: Decimal | None) -> int | None:
    """Pico-USD per model token, of US dollars per million: as many as micro-USD per million."""
    return None if amount is None else int(amount * MICROUSD)
