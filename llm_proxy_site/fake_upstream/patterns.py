"""Bytes of any size which both ends can compute, so that neither has to hold them."""

import hashlib
from collections.abc import Iterator

_BLOCK = bytes(range(256)) * 256
BLOCK_BYTES = len(_BLOCK)


def pattern(size: int) -> Iterator[bytes]:
    """0, 1, ... 255 repeated up to `size` bytes, in blocks of 64 KiB."""
    whole, rest = divmod(size, BLOCK_BYTES)
    for _ in range(whole):
        yield _BLOCK
    if rest:
        yield _BLOCK[:rest]


def pattern_sha256(size: int) -> str:
    digest = hashlib.sha256()
    for block in pattern(size):
        digest.update(block)
    return digest.hexdigest()
