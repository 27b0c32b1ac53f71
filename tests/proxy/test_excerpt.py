"""What a document reports that is too long to be kept, from its beginning and its end."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.metering.excerpt import Excerpt
from proxy.metering.usage import Usage, read_usage

USAGE = {"input_tokens": 11, "output_tokens": 22}
USED = Usage("m", 11, 22)
LONG = '"usage": {"input_tokens": 9, "output_tokens": 9}, ' * 50
"""What a model may have written; between a text and JSON stand the escapes."""


def read(document: bytes, kept_bytes: int = 300, part_bytes: int = 50) -> Usage | None:
    excerpt = Excerpt(kept_bytes)
    for start in range(0, len(document), part_bytes):
        excerpt.feed(document[start : start + part_bytes])
    return excerpt.usage()


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("part_bytes", [1, 50, 10_000])
@pytest.mark.parametrize(
    "document",
    [
        {"data": [{"b64_json": LONG}], "model": "m", "usage": USAGE},
        {"model": "m", "data": [{"b64_json": LONG}], "usage": USAGE, "size": "1024x1024"},
        {"usage": USAGE, "model": "m", "data": LONG},
        {"model": "m", "usage": USAGE},
        {"data": [{"usage": {"input_tokens": 5}}, LONG], "model": "m", "usage": USAGE},
        {"model": "m", "data": LONG, "usage": USAGE, "end": {"usage": {"input_tokens": 5}}},
        {
            "type": "response.completed",
            "response": {"model": "m", "output": LONG, "usage": USAGE, "user": None},
        },
        {"type": "response.completed", "response": {"output": LONG, "model": "m", "usage": USAGE}},
        {"type": "response.completed", "response": {"model": "m", "usage": USAGE, "output": LONG}},
        {"response": {"model": "m", "output": LONG, "usage": USAGE}, "type": "response.completed"},
        {
            "response": {"model": "m", "output": LONG, "usage": USAGE, "user": None},
            "sequence_number": 9,
            "type": "response.completed",
        },
    ],
)
def test_usage_is_read_from_the_beginning_or_the_end(
    document: Any, indent: int | None, part_bytes: int
) -> None:
    assert read(json.dumps(document, indent=indent).encode() + b"\n", part_bytes=part_bytes) == USED


@pytest.mark.parametrize(
    "document",
    [
        {"model": "m", "data": LONG},
        {"model": "m", "usage": None, "data": LONG},
        {"model": "m", "data": LONG, "x": {"usage": USAGE}},
        {"model": "m", "data": [LONG, {"usage": USAGE}]},
        {"model": "m", "data": LONG, "usage": USAGE, "more": LONG},
        [{"usage": USAGE}, LONG],
        LONG,
    ],
)
def test_usage_that_is_not_the_documents_or_was_forgotten_is_not_read(document: Any) -> None:
    assert read(json.dumps(document).encode()) is None


@given(st.lists(st.binary()))
def test_garbage_raises_nothing(parts: list[bytes]) -> None:
    excerpt = Excerpt(20)
    for part in parts:
        excerpt.feed(part)
    excerpt.usage()


KEYS = st.sampled_from(["usage", "model", "data", "response", "x"])
VALUES = st.recursive(
    st.none() | st.integers(0, 9) | st.text() | st.just(USAGE) | st.just('"usage":{"input_tokens":1}'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=30,
)


@given(st.dictionaries(KEYS, VALUES), st.integers(1, 200), st.integers(1, 50))
def test_what_is_read_is_what_the_whole_document_says(
    document: dict[str, Any], kept_bytes: int, part_bytes: int
) -> None:
    text = json.dumps(document).encode()
    found, whole = read(text, kept_bytes, part_bytes), read_usage(text)

    if found is not None and isinstance(document.get("usage"), dict):
        expected = Usage(input_tokens=11, output_tokens=22)
        assert (found.input_tokens, found.output_tokens) == (expected.input_tokens, expected.output_tokens)
    if not isinstance(document.get("usage"), dict):
        assert found is None
    if whole is not None and kept_bytes >= len(text):
        assert found is not None


@pytest.mark.parametrize("more", [{"x": 1.5}, {"w": 'a "b"', "y": None}, {"z": {}, "more_of_it": []}])
def test_what_an_event_has_behind_a_long_response_hides_no_usage(more: dict[str, Any]) -> None:
    event = {"type": "response.completed", "response": {"model": "m", "output": LONG, "usage": USAGE}}
    assert read(json.dumps({**event, **more}).encode()) == USED
