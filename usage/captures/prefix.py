"""Reads JSON that may have been cut anywhere: what is whole of it. Pure."""

import json
import re
from typing import Any

CUT = "\ue000cut\ue000"
"""At the end of the text in which a document was cut. Private characters: who sends them loses a word."""

_TOKEN = re.compile(
    r'\s*+(?:("[^"\\]*+(?:\\.[^"\\]*+)*+")|([{}\[\],:])|([^\s{}\[\],:"]++))',
    re.DOTALL,
)
_OPEN_TEXT = re.compile(r'"[^"\\]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\]*+)*+')
"""But for an escape that is half there."""
_CLOSERS = {"{": "}", "[": "]"}


class NotJSONError(ValueError):
    """It cannot be read, however it is closed. The message says nothing of it."""


def read_document(text: str, *, is_whole: bool) -> Any:
    """JSON as Python has it; None where it is none. If it is not whole, its beginning is read."""
    try:
        return json.loads(text if is_whole else close(text))
    except (ValueError, RecursionError):
        return None


def close(prefix: str) -> str:
    """The beginning of a document as one that ends: what is half there goes, but for a text, which is marked
    as CUT. Raises NotJSONError where that cannot be.
    """
    stack: list[str] = []
    end, position, is_value, has_document = 0, 0, True, False
    """`end`: up to where all is whole. `is_value`: whether a value comes next."""
    while (token := _TOKEN.match(prefix, position)) is not None:
        _, mark, word = token.groups()
        if has_document:
            raise NotJSONError
        position = token.end()
        if mark in _CLOSERS:
            stack.append(mark)
            is_value, end = mark == "[", position
            continue
        if mark == ",":
            is_value = bool(stack) and stack[-1] == "["
            continue
        if mark == ":":
            is_value = True
            continue
        if mark is not None:
            if not stack or _CLOSERS[stack.pop()] != mark:
                raise NotJSONError
            is_value = False
        elif not is_value or (word is not None and position == len(prefix)):
            continue  # the name of a member; half a number, perhaps
        end, is_value = position, False
        has_document = not stack
    if has_document:
        return prefix
    closers = "".join(_CLOSERS[mark] for mark in reversed(stack))
    rest = _OPEN_TEXT.match(prefix[position:].lstrip())
    if rest is not None and is_value:
        return f'{prefix[:position]}{rest[0]}{CUT}"{closers}'
    if not stack and not end:
        raise NotJSONError
    return prefix[:end] + closers
