"""Rows in the numbers in which statements write them."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

MOST_ROWS = 64
"""Each statement takes the interpreter's lock from the event loop and back."""

T = TypeVar("T")


def in_chunks(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """All of them, in order, in chunks whose lengths are powers of two. A statement for each number of rows
    would be kept by the driver, prepared: a hundred large ones.
    """
    start = 0
    while left := len(rows) - start:
        length = min(MOST_ROWS, 1 << (left.bit_length() - 1))
        yield rows[start : start + length]
        start += length
