"""What an answer has cost, by the prices that the proxy charges."""

from contextlib import suppress

from django.db import Error

from projects.money import usd_text
from proxy.metering.usage import Usage
from usage.price_book import PriceBook
from usage.price_overrides import load_overrides


def open_prices() -> PriceBook:
    """With the prices that operators have set, where the database is at hand."""
    prices = PriceBook()
    with suppress(Error):  # chat needs no database: the known prices will do
        prices.set_overrides(load_overrides())
    return prices


def cost_microusd(prices: PriceBook, model: str, usage: Usage) -> int | None:
    """None: the model has no known price."""
    price = prices.find(model, usage.service_tier)
    if price is None:
        return None
    return price.cost_microusd(
        input_tokens=usage.input_tokens or 0,
        output_tokens=usage.output_tokens or 0,
        cached_tokens=usage.cached_tokens or 0,
        cache_write_tokens=usage.cache_write_tokens or 0,
        audio_input_tokens=usage.audio_input_tokens or 0,
        audio_output_tokens=usage.audio_output_tokens or 0,
        cached_audio_tokens=usage.cached_audio_tokens,
    )


def usage_line(usage: Usage, cost: int | None, in_all: int) -> str:
    parts = [f"{usage.input_tokens or 0} in", f"{usage.output_tokens or 0} out"]
    if usage.cached_tokens:
        parts[0] += f" ({usage.cached_tokens} cached)"
    if usage.reasoning_tokens:
        parts[1] += f" ({usage.reasoning_tokens} reasoning)"
    if cost is None:
        return f"{', '.join(parts)}; no known price"
    return f"{', '.join(parts)}; {usd_text(cost)} USD, {usd_text(in_all)} USD in all"
