"""The text that a client sends in: a string, or parts some of which are text."""

import msgspec

from .words import count_words


class Part(msgspec.Struct):
    type: str = "text"
    text: str = ""


class Message(msgspec.Struct):
    role: str = "user"
    content: str | list[Part] | None = None


def count_prompt_tokens(messages: list[Message]) -> int:
    return sum(_count_content(message.content) for message in messages)


def cached_tokens(prompt_tokens: int) -> int:
    """OpenAI caches prompts from 1024 tokens on, in steps of 128."""
    return prompt_tokens // 128 * 128 if prompt_tokens >= 1024 else 0


def reasoning_tokens(effort: str | None, limit: int | None) -> int:
    """What is thought before the answer; it counts towards the limit of the output."""
    thought = {"low": 16, "medium": 64, "high": 256}.get(effort or "", 0)
    return thought if limit is None else min(thought, limit)


def _count_content(content: str | list[Part] | None) -> int:
    if content is None:
        return 0
    if isinstance(content, str):
        return count_words(content)
    return sum(count_words(part.text) for part in content)
