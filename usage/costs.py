"""The cost of what an entry says was used."""

from usage.entry import UsageEntry
from usage.prices import Price

BYTES_PER_MODEL_TOKEN = 4
"""Of ordinary text, about."""
SPOKEN_TOKENS_PER_MODEL_TOKEN = 6
"""Of audio, for each token of a text that is read aloud: 6.0 were billed for a text in English
(https://github.com/sanand0/blog/blob/main/posts/2025/openai-tts-cost.md), 6.3 for one in Chinese
(https://github.com/p0n1/epub_to_audiobook/issues/128), by gpt-4o-mini-tts.
"""
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
