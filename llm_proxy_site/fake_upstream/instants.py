"""Words that say when they were sent, so that whoever reads one knows how long it was on its way."""

import re
import time

_WIDTH = 17
BLANK = "@" + "0" * _WIDTH
"""Such a word before it is sent."""

_WORD = re.compile(rb"@(\d{10}\.\d{6})")


def stamped(piece: bytes) -> bytes:
    """With the instant in place of its blank: of the monotonic clock, which is the same in all processes."""
    return piece.replace(BLANK.encode(), b"@%017.6f" % time.monotonic())


class Delays:
    """Of the words in one stream, however its bytes are cut; in seconds."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[float]:
        """Those that are complete with this, which came just now."""
        now = time.monotonic()
        data = self._rest + data
        words = list(_WORD.finditer(data))
        self._rest = data[words[-1].end() if words else 0 :][-_WIDTH:]
        return [now - float(word[1]) for word in words]
