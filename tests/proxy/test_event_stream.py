import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.metering.event_stream import EventStreamDecoder
from proxy.metering.excerpt import Excerpt

STREAM = b'data: {"a": 1}\n\n: comment\nevent: x\r\ndata: one\r\ndata:two\r\n\r\ndata: [DONE]\n\n'
EVENTS = [b'{"a": 1}', b"one\ntwo", b"[DONE]"]


def decode(*chunks: bytes, **options: int) -> list[bytes]:
    decoder = EventStreamDecoder(**options)
    return [event for chunk in chunks for event in decoder.feed(chunk) if isinstance(event, bytes)]


@pytest.mark.parametrize("cut", range(len(STREAM) + 1))
def test_every_split_gives_the_same_events(cut: int) -> None:
    assert decode(STREAM[:cut], STREAM[cut:]) == EVENTS


@given(st.lists(st.integers(0, len(STREAM))))
def test_any_chunking_gives_the_same_events(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]

    assert decode(*[STREAM[a:b] for a, b in itertools.pairwise(edges)]) == EVENTS


@pytest.mark.parametrize(
    "chunk",
    [b"data: one\n\n", b"event: x\ndata: one\n\n", b"event: x\r\ndata: one\r\n\r\n", b"data: one\r\n\r\n"],
)
def test_a_chunk_that_is_one_event_gives_it(chunk: bytes) -> None:
    assert decode(chunk, chunk) == [b"one", b"one"]


def test_a_long_event_stands_in_its_place_between_the_others() -> None:
    before, long, after = EventStreamDecoder(20).feed(
        b"data: before\n\ndata: " + b"x" * 50 + b"\n\ndata: after\n\n"
    )

    assert (before, after) == (b"before", b"after")
    assert isinstance(long, Excerpt)


def test_an_event_without_its_end_is_not_given() -> None:
    assert decode(b"data: 1\n") == []


def test_an_event_without_data_is_not_given() -> None:
    assert decode(b"event: ping\n\n") == []


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_event_that_is_too_long_is_passed_over_and_the_next_is_read(size: int) -> None:
    stream = b"data: " + b"x" * 500 + b"\ndata: more\n\ndata: next\n\n"
    chunks = [stream[i : i + size] for i in range(0, len(stream), size)]

    assert decode(*chunks, max_event_bytes=100) == [b"next"]


@given(st.lists(st.binary()))
def test_garbage_raises_nothing(chunks: list[bytes]) -> None:
    decode(*chunks)


@pytest.mark.parametrize("end", [b"", b"\r", b"\n", b"\r\n"])
@pytest.mark.parametrize("data", [b"[DONE]", b'{"a": 1}'])
def test_the_last_event_is_taken_without_its_blank_line_if_it_is_whole(data: bytes, end: bytes) -> None:
    decoder = EventStreamDecoder()
    assert list(decoder.feed(b"data: one\n\ndata: " + data + end)) == [b"one"]

    assert decoder.take_rest() == data
    assert decoder.take_rest() is None
    assert list(decoder.feed(b"\n\ndata: next\n\n")) == [b"next"]


@pytest.mark.parametrize("rest", [b"", b"data: ", b'data: {"a"', b"data: [DON", b"data: 12", b"event: {}"])
def test_an_event_that_is_not_whole_is_no_last_one(rest: bytes) -> None:
    decoder = EventStreamDecoder()
    assert list(decoder.feed(rest)) == []

    assert decoder.take_rest() is None
    (event,) = decoder.feed(b"\ndata: x\n\n")
    assert isinstance(event, bytes)
    assert event.endswith(b"x")


@pytest.mark.parametrize("cut", range(8))
def test_a_byte_order_mark_hides_nothing(cut: int) -> None:
    stream = b"\xef\xbb\xbfdata: one\n\ndata: two\n\n"

    assert decode(stream[:cut], stream[cut:]) == [b"one", b"two"]


def test_a_long_line_in_tiny_chunks_takes_no_longer_than_its_length() -> None:
    decoder = EventStreamDecoder()

    def feed(count: int) -> float:
        began = time.process_time()
        for _ in range(count):
            list(decoder.feed(b"x"))
        return time.process_time() - began

    early, _, late = map(feed, (40_000, 160_000, 40_000))

    assert late < 4 * early, "it was put together anew with each"
