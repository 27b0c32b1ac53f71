"""Rows in few different numbers."""

import pytest

from usage.chunks import MOST_ROWS, in_chunks


@pytest.mark.parametrize("count", [0, 1, 2, 3, 63, 64, 65, 127, 500])
def test_all_rows_come_in_order_in_numbers_that_are_powers_of_two(count: int) -> None:
    chunks = list(in_chunks(range(count)))

    assert [row for chunk in chunks for row in chunk] == list(range(count))
    assert {len(chunk).bit_count() for chunk in chunks} <= {1}
    assert all(len(chunk) <= MOST_ROWS for chunk in chunks)
