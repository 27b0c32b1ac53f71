"""Whether a JSON body refers to input that upstream keeps or fetches, told by a search of its bytes.

A large body is searched piece by piece, and others are served between two of them.
"""

import re

from proxy.breathing import breathe

PIECE_BYTES = 2 * 1024 * 1024
_NAMES = (b'"image_url"', b'"file_id"', b'"file_url"', b'"file_data"', b'"item_reference"')
_ESCAPED_LETTER = re.compile(rb"\\u00(?:5[fF]|[46][1-9a-fA-F]|[57][0-9aA])")
"""No writer of JSON escapes a letter: here a name is hidden from us."""
_LONGEST = max(len(name) for name in _NAMES)


def refers_elsewhere(body: bytes) -> bool:
    return _refers_in(body, 0, len(body))


async def search_references(body: bytes) -> bool:
    """The same, for a body of any size."""
    for start in range(0, len(body), PIECE_BYTES):
        if _refers_in(body, start, start + PIECE_BYTES + _LONGEST):
            return True
        await breathe(body)
    return False


def _refers_in(body: bytes, start: int, end: int) -> bool:
    if any(body.find(name, start, end) >= 0 for name in _NAMES):
        return True
    # As almost always there is none: a single byte is found much faster than a pattern.
    return body.find(b"\\", start, end) >= 0 and _ESCAPED_LETTER.search(body, start, end) is not None
