"""Finding what belongs to a model in a table of names and patterns."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TypeVar

Found = TypeVar("Found")


def best_match(table: Mapping[str, Found], model: str) -> Found | None:
    """What stands under the model's very name, or else under the longest pattern that matches it."""
    if model in table:
        return table[model]
    patterns = [pattern for pattern in table if fnmatchcase(model, pattern)]
    return table[max(patterns, key=len)] if patterns else None


def base_model(model: str) -> str:
    """What a fine-tuned model such as `ft:gpt-4o-mini-2024-07-18:org::id` is made of; any other: itself."""
    prefix, _, rest = model.partition(":")
    return rest.partition(":")[0] if prefix == "ft" else model
