"""What a fake model says, and how text is counted: a word is a token."""

from collections.abc import Iterator
from itertools import cycle, islice

# Letters outside ASCII are among them on purpose: a stream may be cut inside a character.
_WORDS = (
    "All",
    "tokens",
    "wither",
    "in",
    "time;",
    "a",
    "café",
    "serves",
    "naïve",
    "proxies",
    "→",
    "patiently.",
)


def words(count: int) -> Iterator[str]:
    """The pieces of an answer; joined they are its text."""
    for index, word in enumerate(islice(cycle(_WORDS), count)):
        yield f" {word}" if index else word


def text(count: int) -> str:
    return "".join(words(count))


def count_words(value: str) -> int:
    return len(value.split())
