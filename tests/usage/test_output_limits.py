from collections.abc import Iterator
from fnmatch import fnmatchcase

import pytest
from genai_prices.data_snapshot import get_snapshot

from usage.output_limits import MAX_OUTPUT_TOKENS, max_output_tokens


def known_names() -> Iterator[str]:
    """The names by which genai-prices knows OpenAI's models: ids, equal names, and beginnings."""
    (provider,) = [provider for provider in get_snapshot().providers if provider.id == "openai"]
    for model in provider.models:
        yield model.id
        for clause in getattr(model.match, "or_", [model.match]):
            yield getattr(clause, "equals", getattr(clause, "starts_with", ""))


@pytest.mark.parametrize("pattern", MAX_OUTPUT_TOKENS)
def test_every_pattern_is_of_a_model_that_genai_prices_knows(pattern: str) -> None:
    names = [name for name in known_names() if fnmatchcase(name, pattern)]
    assert any(max_output_tokens(name) == MAX_OUTPUT_TOKENS[pattern] for name in names)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-4", 8_192),
        ("gpt-4-0613", 8_192),
        ("gpt-4-0125-preview", 4_096),
        ("gpt-4-turbo-2024-04-09", 4_096),
        ("gpt-4o-mini-2024-07-18", 16_384),
        ("gpt-4o-mini-transcribe", 2_000),
        ("gpt-5", 128_000),
        ("gpt-5-chat-latest", 16_384),
        ("gpt-5.2-chat-latest", 16_384),
        ("gpt-5.2-codex", 128_000),
        ("gpt-5-pro-2025-10-06", 272_000),
        ("gpt-6.1-sol-2026-09-29", 128_000),
        ("gpt-realtime-mini", 4_096),
        ("gpt-realtime-2.1-mini", 32_000),
        ("o1-mini-2024-09-12", 65_536),
        ("o1-pro", 100_000),
        ("whisper-1", None),
    ],
)
def test_the_longest_pattern_wins(model: str, expected: int | None) -> None:
    assert max_output_tokens(model) == expected
