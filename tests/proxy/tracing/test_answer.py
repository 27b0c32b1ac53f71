"""What is read of an answer besides its usage."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.tracing.answer import MAX_DOCUMENT_BYTES, Told, read_answer

CHOICES = [{"finish_reason": "stop"}, {"finish_reason": "length"}, {"finish_reason": None}, {}]


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"id": "chatcmpl-1", "choices": CHOICES}, Told("chatcmpl-1", ("stop", "length"))),
        ({"type": "response.completed", "response": {"id": "resp_1"}}, Told("resp_1")),
        ({"data": []}, Told()),
        ({"id": 7, "choices": [{"finish_reason": 3}]}, Told("", ("",))),
        ({"id": "i" * 1000}, Told("i" * 200)),
        ({"id": "x", "choices": "none"}, None),
        ({"id": "x", "pad": "x" * MAX_DOCUMENT_BYTES}, None),
        ([], None),
    ],
)
def test_an_answer_has_a_name_and_reasons_to_end(document: Any, told: Told | None) -> None:
    assert read_answer(json.dumps(document).encode()) == told


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (b'{"id":"chatcmpl-1","choices":[]}', Told("chatcmpl-1", ("stop", "length"))),
        (
            b'{"id":"chatcmpl-1","choices":[{"finish_reason":"length"}]}',
            Told("chatcmpl-1", ("stop", "length")),
        ),
        (b"", Told("", ("stop", "length"))),
        (b"{", Told("", ("stop", "length"))),
    ],
)
def test_the_reasons_of_a_stream_are_those_of_all_its_events(document: bytes, told: Told) -> None:
    assert read_answer(document, ("stop", "length")) == told


@given(st.binary())
def test_nothing_that_upstream_sends_is_an_error(document: bytes) -> None:
    read_answer(document)
