"""The cost of what an entry says was used."""

from usage.entry import UsageEntry
from usage.prices import Price

BYTES_PER_MODEL_TOKEN = 4
"""Of ordinary text, about."""
OUTPUT_TOKENS_PER_SECOND = 100
"""Assumed of the time in which nobody has seen what upstream did."""


def cost_of(entry: UsageEntry, price: Price, cached_audio_tokens: int | None) -> int:
    """In micro-USD."""
    return price.cost_microusd(
        input_tokens=entry.input_tokens or 0,
        output_tokens=entry.output_tokens or 0,
        cached_tokens=entry.cached_tokens or 0,
        cache_write_tokens=entry.cache_write_tokens or 0,
        audio_input_tokens=entry.audio_input_tokens or 0,
        audio_output_tokens=entry.audio_output_tokens or 0,
        cached_audio_tokens=cached_audio_tokens,
    )
