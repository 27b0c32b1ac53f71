"""With and without the question, the client receives the same bytes."""

import itertools
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.metering.traces import TraceRemover

USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
Writer = Callable[[Any], bytes]


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def spaced(value: Any) -> bytes:
    return json.dumps(value).encode()


def passed(*chunks: bytes, **options: int) -> bytes:
    remover = TraceRemover(**options)
    return b"".join(remover.feed(chunk) for chunk in chunks) + remover.end()


def a_stream(write: Writer, end: bytes, *, asked: bool, padded: bool = False) -> bytes:
    """As upstream sends it with `include_usage`, and without."""
    padding = {"obfuscation": "a8f"} if padded else {}
    null = {"usage": None} if asked else {}
    chunks = [
        {"id": "c", "choices": [{"delta": {"content": word}, "finish_reason": None}], **null, **padding}
        for word in ('"usage":null', 'say "usage": null}', "café", '{"choices":[],"usage":{}}', ",")
    ]
    chunks.append({"id": "c", "choices": [], "prompt_filter_results": [], **null})
    chunks.append({"id": "c", **null, "choices": [{"delta": {}, "finish_reason": "stop"}], **padding})
    if asked:
        chunks.append({"id": "c", "choices": [], "usage": USAGE, **padding})
    lines = [b"data: " + write(chunk) for chunk in chunks] + [b"data: [DONE]"]
    return b": hello" + end * 2 + b"".join(line + end * 2 for line in lines)


SHAPES = pytest.mark.parametrize(
    ("write", "end", "padded"), list(itertools.product([compact, spaced], [b"\n", b"\r\n"], [False, True]))
)


@SHAPES
def test_every_split_gives_the_bytes_of_a_stream_that_nobody_asked(
    write: Writer, end: bytes, padded: bool
) -> None:
    asked = a_stream(write, end, asked=True, padded=padded)
    plain = a_stream(write, end, asked=False, padded=padded)

    assert passed(asked) == plain
    assert all(passed(asked[:cut], asked[cut:]) == plain for cut in range(len(asked)))
    assert passed(*[asked[i : i + 1] for i in range(len(asked))]) == plain


@SHAPES
def test_what_nobody_asked_passes_as_it_is(write: Writer, end: bytes, padded: bool) -> None:
    plain = a_stream(write, end, asked=False, padded=padded)

    assert passed(plain) == plain


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}\n\n',  # always sent so
        b'data: {"choices":[{"usage":null}],"x":{"usage":null}}\n\n',
        b'data: {"error":{"message":"overloaded"}}\n\n',
        b'data: {"error":{},"choices":[],"usage":{}}\n\n',
        b'data: {"usage":null,"usage":null}\n\n',
        b'data: {"choices":[],"usage":{}\n\n',
        b'data: ["usage"]\n\n',
        b'data: "usage":null}\n\n',
        b"event: ping\nid: 7\n\n",
        b"id: 1\ndata: {}\nretry: 3\n\n",
        b'data: {"a,\\"usage": null}\n\n',
        b'data: {"a":1,\rdata: "usage":null}\n\n',
        b"\n\n\n",
        b"data: {}",
    ],
)
def test_what_is_no_trace_passes_at_every_split(event: bytes) -> None:
    assert all(passed(event[:cut], event[cut:]) == event for cut in range(len(event) + 1))


@pytest.mark.parametrize(
    ("event", "left"),
    [
        (b'data:{"usage":null}\n\n', b"data:{}\n\n"),
        (b'data: {"usage" : null , "a":1}\n\n', b'data: {"a":1}\n\n'),
        (b'data: {"a":1 , "us\\u0061ge":null}\n\n', b'data: {"a":1 , "us\\u0061ge":null}\n\n'),
        (b'data: {"a":1,"usage":null', b'data: {"a":1,"usage":null'),
        (b'data: {"a":1,"usage":null}', b'data: {"a":1}'),
        (b'event: x\nid: 3\ndata: {"choices":[ ],"usage":{}}\nretry: 1\n\n: next\n', b": next\n"),
        (b'data: {"choices":[],"usage":{}}', b""),
    ],
)
def test_traces_are_removed_however_they_are_written(event: bytes, left: bytes) -> None:
    assert all(passed(event[:cut], event[cut:]) == left for cut in range(len(event) + 1))


@given(
    st.lists(
        st.binary()
        | st.sampled_from([b'data: {"usage":null', b',"usage":null}', b"\n", b"\r\n", b"}", b":", b"data:"])
    )
)
def test_any_chunking_of_anything_gives_the_same(chunks: list[bytes]) -> None:
    assert passed(*chunks) == passed(b"".join(chunks))


@settings(max_examples=50)
@given(st.lists(st.integers(0, 2000)), st.sampled_from([b"\n", b"\r\n"]))
def test_any_chunking_of_a_stream_gives_the_same(cuts: list[int], end: bytes) -> None:
    asked = a_stream(compact, end, asked=True)
    edges = [0, *sorted(cut for cut in cuts if cut < len(asked)), len(asked)]

    assert passed(*[asked[a:b] for a, b in itertools.pairwise(edges)]) == a_stream(compact, end, asked=False)


def test_an_event_goes_out_when_it_is_complete() -> None:
    remover = TraceRemover()
    assert remover.feed(b'data: {"a":1,"usage":null}\n') == b'data: {"a":1}\n'
    assert remover.feed(b"\nda") == b"\n"
    assert TraceRemover().feed(b": keep-alive\n") == b": keep-alive\n"


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_line_that_is_too_long_passes_as_it_is(size: int) -> None:
    long = b'data: {"a":"' + b"x" * 200 + b'","usage":null}\n\n'
    stream = long + b'data: {"a":1,"usage":null}\n\n'
    chunks = [stream[i : i + size] for i in range(0, len(stream), size)]

    assert passed(*chunks, max_line_bytes=100) == long + b'data: {"a":1}\n\n'


def test_lines_that_end_in_cr_alone_are_not_held_back() -> None:
    remover = TraceRemover()

    assert remover.feed(b'data: {"a":1}\r\rdata') == b'data: {"a":1}\r\rdata'
    assert remover.feed(b": 2\r\r") == b": 2\r\r"


@pytest.mark.parametrize("part", [b"x", b"x\n"])
def test_tiny_chunks_take_no_longer_than_their_length(part: bytes) -> None:
    remover = TraceRemover()

    def feed(count: int) -> tuple[int, float]:
        began = time.process_time()
        return sum(len(remover.feed(part)) for _ in range(count)), time.process_time() - began

    (first_bytes, early), (more_bytes, _), (last_bytes, late) = map(feed, (50_000, 300_000, 50_000))

    assert late < 4 * early, "what waits was put together anew with each"
    assert first_bytes + more_bytes + last_bytes + len(remover.end()) == 400_000 * len(part)
