"""What genai-prices knows of OpenAI's models, from the data in its package: nothing is fetched."""

from datetime import datetime
from decimal import ROUND_CEILING, Decimal

from genai_prices.data_snapshot import find_provider_by_id, get_snapshot
from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

from usage.model_names import base_model
from usage.output_limits import max_output_tokens
from usage.prices import PICOUSD_PER_MICROUSD, Price, Rates

FREE = ("omni-moderation", "text-moderation")
"""What the names of models that cost nothing begin with."""

_Amount = Decimal | TieredPrices | None


class KnownPrices:
    def __init__(self) -> None:
        provider = find_provider_by_id(get_snapshot().providers, "openai")
        assert provider is not None
        self._provider = provider

    def find(self, model: str, service_tier: str, now: datetime) -> Price | None:
        """None for a model that is unknown, or paid by another unit than model tokens, such as seconds.

        A service tier without a price of its own has the standard one.
        """
        info = self._info(model)
        if info is None:
            return None
        prices = info.get_prices(now, {"service_tier": service_tier} if service_tier else None)
        if prices.input_mtok is not None:
            rates, tiers = _rates(prices, 0), _tiers(prices)
        elif model.startswith(FREE) and not vars(prices):
            rates, tiers = Rates.of(text_input=0, text_output=0), ()
        else:
            return None
        context_window, most_output = self.limits(model)
        return Price(rates, tiers, context_window, most_output)

    def name_of(self, model: str) -> str | None:
        info = self._info(model)
        return info.id if info is not None else None

    def limits(self, model: str) -> tuple[int | None, int | None]:
        """The model's context window and the most that it puts out; of a fine-tuned model, its base's."""
        base = base_model(model.lower())
        info = self._info(base)
        context_window = info.context_window if info else None
        most_output = max_output_tokens(base)
        return context_window, context_window if most_output is None else most_output

    def _info(self, model: str) -> ModelInfo | None:
        """Straight from the provider: the snapshot's own finder remembers every name it was asked for."""
        return self._provider.find_model(model)


def _tiers(prices: ModelPrice) -> tuple[tuple[int, Rates], ...]:
    starts = {
        tier.start
        for amount in vars(prices).values()
        if isinstance(amount, TieredPrices)
        for tier in amount.tiers
    }
    return tuple((start, _rates(prices, start + 1)) for start in sorted(starts))


def _rates(prices: ModelPrice, input_tokens: int) -> Rates:
    """The rates of a request with so many input tokens.

    Usage does not tell images from text. A model that takes no audio is one of images, if it has a price for
    them: the dearer of the two is the rate. In a model that takes audio images are rare: text is the rate.
    """

    def rate(*amounts: _Amount) -> int | None:
        known = [_picousd(amount, input_tokens) for amount in amounts if amount is not None]
        return max(known, default=None)

    images = prices.input_audio_mtok is None
    return Rates.of(
        text_input=rate(prices.input_mtok, prices.input_image_mtok if images else None) or 0,
        cached_input=rate(prices.cache_read_mtok, prices.cache_image_read_mtok if images else None),
        cache_write=rate(prices.cache_write_mtok),
        audio_input=rate(prices.input_audio_mtok),
        cached_audio_input=rate(prices.cache_audio_read_mtok),
        text_output=rate(prices.output_mtok, prices.output_image_mtok) or 0,
        audio_output=rate(prices.output_audio_mtok),
    )


def _picousd(amount: Decimal | TieredPrices, input_tokens: int) -> int:
    if isinstance(amount, TieredPrices):
        reached = [tier.price for tier in amount.tiers if input_tokens > tier.start]
        amount = reached[-1] if reached else amount.base
    return int((amount * PICOUSD_PER_MICROUSD).to_integral_value(ROUND_CEILING))
