"""Whatever happens to a file, each record that is whole in it is found, and nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from usage.spool.frames import MARK, frame, read_frames

PAYLOADS = [b"first", b"", MARK + b" in a payload", b"last" * 10]
DATA = b"".join(map(frame, PAYLOADS))
MOST = 100


def test_records_are_read_as_they_were_written() -> None:
    found = read_frames(DATA, MOST, is_end=True)

    assert found.payloads == PAYLOADS
    assert (found.position, found.damaged_bytes, found.torn_bytes) == (len(DATA), 0, 0)


def test_a_file_that_ends_anywhere_has_all_records_before() -> None:
    for length in range(len(DATA)):
        found = read_frames(DATA[:length], MOST, is_end=True)
        whole = [end for end in read_frames(DATA, MOST, is_end=True).ends if end <= length]

        assert found.payloads == PAYLOADS[: len(whole)]
        assert found.torn_bytes + found.damaged_bytes == length - (whole[-1] if whole else 0)
        assert found.position == length


def test_a_byte_that_changed_costs_one_record() -> None:
    for position in range(len(DATA)):
        for flip in (1, 0x80, 0xFF):
            damaged = bytearray(DATA)
            damaged[position] ^= flip
            found = read_frames(bytes(damaged), MOST, is_end=True)
            lost = [payload for payload in PAYLOADS if payload not in found.payloads]

            assert len(lost) == 1
            assert found.payloads == [payload for payload in PAYLOADS if payload not in lost]
            assert found.damaged_bytes + found.torn_bytes == len(frame(lost[0]))


@given(st.lists(st.binary(max_size=60), max_size=8), st.data())
def test_garbage_between_records_is_skipped(payloads: list[bytes], data: st.DataObject) -> None:
    pieces = []
    for payload in payloads:
        pieces += [data.draw(st.binary(max_size=20)), frame(payload)]
    found = read_frames(b"".join(pieces), MOST, is_end=True)

    assert [payload for payload in found.payloads if payload in payloads] == payloads


@given(st.lists(st.binary(max_size=60), max_size=8), st.integers(min_value=73, max_value=200))
def test_records_are_read_in_pieces(payloads: list[bytes], size: int) -> None:
    data, position, found = b"".join(map(frame, payloads)), 0, list[bytes]()
    while position < len(data):
        piece = data[position : position + size]
        read = read_frames(piece, 2, is_end=position + size >= len(data))
        assert read.damaged_bytes == read.torn_bytes == 0
        found += read.payloads
        position += read.position

    assert found == payloads


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_read_to_their_end(data: bytes, is_end: bool) -> None:
    found = read_frames(data, MOST, is_end=is_end)

    assert found.position <= len(data)
    if is_end:
        assert found.position == len(data)
