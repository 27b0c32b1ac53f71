"""The meter passes lightly over what only carries a piece of output: it must miss nothing by that."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.metering.event_stream import MAX_EVENT_BYTES
from proxy.metering.event_stream_meter import MAX_CHOICES, MAX_REASON, EventStreamMeter
from proxy.metering.usage import Usage

PIECES = [
    b'{"object":"chat.completion.chunk","choices":[{"delta":{"content":"a"},"finish_reason":null}],"usage":null}',
    b'{"type":"response.output_text.delta","delta":"a"}',
    b'{"object":"chat.completion.chunk","choices":[{"index":1,"delta":{},"finish_reason":null}]}',
    b'{"delta":"a","type":"response.output_text.delta"}',
    b'{"type":"transcript.text.delta","delta":"a"}',
]
OF_ACCOUNT = [
    b'{"object":"chat.completion.chunk","choices":[{"delta":{},"finish_reason":"stop"}],"usage":null}',
    b'{"object":"chat.completion.chunk","choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":1}}',
    b'{"object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":2,"completion_tokens":3}}',
    b'{"type":"response.completed","response":{"usage":{"input_tokens":4,"output_tokens":5},"delta":"a"}}',
    b'{"delta":"a","type":"response.failed"}',
    b'{"type":"response.output_text.delta","delta":"a","type":"response.failed"}',
    b'{"type":"response.created","response":{"id":"resp_1","background":true,"status":"queued"},"delta":1}',
    b'{"type":"speech.audio.done","usage":{"input_tokens":6,"output_tokens":7}}',
    b'{"error":{"message":"it broke"}}',
    b"[DONE]",
]


class _Thorough(EventStreamMeter):
    def _is_mere_piece(self, chunk: bytes, start: int) -> bool:
        return False


@given(st.lists(st.sampled_from([*PIECES, *OF_ACCOUNT]), max_size=12))
def test_no_event_of_account_is_missed_between_pieces(events: list[bytes]) -> None:
    light, thorough = EventStreamMeter(), _Thorough()
    for event in events:
        light.feed(b"data: " + event + b"\n\n")
        thorough.feed(b"data: " + event + b"\n\n")

        assert _said(light) == _said(thorough)


NAMED = b'{"object":"chat.completion.chunk","model":"%b","choices":[{"delta":{"content":"a"}}]}'
FINISHED = b'{"object":"text_completion","choices":[{"index":%d,"text":"","finish_reason":"stop"}]}'
LONG = b"x" * MAX_EVENT_BYTES
CREATED = b'{"type":"response.created","response":{"id":"r","model":"gpt-5"%b}}'


@pytest.mark.parametrize(
    ("events", "model"),
    [
        ([NAMED % b"gpt-4o", NAMED % b"another", b"[DONE]"], "gpt-4o"),
        ([b'{"object":"","model":"","choices":[]}', NAMED % b"gpt-4o"], "gpt-4o"),
        ([CREATED % b"", PIECES[1]], "gpt-5"),
        ([CREATED % (b',"instructions":"%b"' % LONG), PIECES[1]], "gpt-5"),
        (
            [
                b'{"type":"response.created","response":{"instructions":"%b","model":"gpt-5"}}'
                % (b"x" * 300_000)
            ],
            "gpt-5",
        ),
        ([b'{"kind":"unknown","model":"m"}', b'{"kind":"unknown"}', b"[DONE]"], "m"),
        ([PIECES[0]], ""),
        ([b'{"object":"chat.completion.chunk","model":5}'], ""),
        ([b'{"object":"chat.completion.chunk","model"'], ""),
        ([], ""),
    ],
)
def test_the_first_events_name_the_model(events: list[bytes], model: str) -> None:
    meter = EventStreamMeter()
    for event in events:
        meter.feed(b"data: " + event + b"\n\n")

    assert meter.model() == model


@pytest.mark.parametrize(("finished", "is_cut_off"), [([0], True), ([0, 1], False), ([0, 1, 2], False)])
def test_a_stream_without_a_choice_that_was_asked_for_is_cut_off(
    finished: list[int], is_cut_off: bool
) -> None:
    meter = EventStreamMeter(choices=2)
    for index in finished:
        event = (
            b'{"object":"chat.completion.chunk","choices":[{"index":%d,"delta":{},"finish_reason":"stop"}]}'
        )
        meter.feed(b"data: " + event % index + b"\n\n")

    assert meter.is_cut_off == is_cut_off
    meter.feed(b"data: [DONE]\n\n")
    assert not meter.is_cut_off


def test_more_choices_than_can_be_watched_are_not_waited_for() -> None:
    meter = EventStreamMeter(choices=10**9)
    for index in range(MAX_CHOICES):
        event = (
            b'{"object":"chat.completion.chunk","choices":[{"index":%d,"delta":{},"finish_reason":"stop"}]}'
        )
        meter.feed(b"data: " + event % index + b"\n\n")

    assert not meter.is_cut_off


def _said(meter: EventStreamMeter) -> tuple[object, ...]:
    heard = meter.finish(), meter.work(), meter.finish_reasons()
    return meter.pieces, meter.has_ended, meter.is_cut_off, *heard


def test_most_pieces_are_passed_over_lightly() -> None:
    for piece in PIECES[:2]:
        meter = EventStreamMeter()
        meter.feed(b"data: " + piece + b"\n\n")

        assert meter._is_mere_piece(b"data: " + piece + b"\n\n", 6)


CHUNK = b'{"object":"chat.completion.chunk","choices":[{"index":%d,"delta":{},"finish_reason":%s}]}'


def stream_of(*events: bytes, end: bytes = b"\n\n") -> EventStreamMeter:
    meter = EventStreamMeter()
    for event in events[:-1]:
        meter.feed(b"data: " + event + b"\n\n")
    meter.feed(b"data: " + events[-1] + end)
    return meter


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_stream_whose_last_blank_line_is_missing_is_whole(end: bytes) -> None:
    completed = stream_of(PIECES[1], OF_ACCOUNT[3], end=end)
    assert not completed.is_cut_off
    assert completed.finish() == Usage(input_tokens=4, output_tokens=5)
    assert not stream_of(PIECES[0], b"[DONE]", end=end).is_cut_off
    assert stream_of(PIECES[0], OF_ACCOUNT[2], end=end).finish() == Usage(input_tokens=2, output_tokens=3)


def test_a_stream_whose_last_event_is_not_whole_is_cut_off() -> None:
    assert stream_of(PIECES[1], OF_ACCOUNT[3][:-1], end=b"").is_cut_off


@pytest.mark.parametrize(
    ("finished", "is_cut_off"), [([0], True), ([1], True), ([0, 1], False), ([1, 0], False)]
)
def test_a_stream_ends_when_each_of_its_choices_has(finished: list[int], is_cut_off: bool) -> None:
    begun = [CHUNK % (index, b"null") for index in (0, 1, 0, 1)]
    assert stream_of(*begun, *[CHUNK % (index, b'"stop"') for index in finished]).is_cut_off is is_cut_off


def test_several_calls_of_tools_are_one_choice() -> None:
    call = b'{"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"tool_calls":[{"index":2}]}}]}'
    assert not stream_of(call, call, CHUNK % (0, b'"tool_calls"')).is_cut_off


def test_an_error_beside_a_piece_is_an_end() -> None:
    error = (
        b'{"object":"chat.completion.chunk","choices":[{"delta":{},"finish_reason":null}],"error":{"a":1}}'
    )
    assert not stream_of(PIECES[0], error).is_cut_off


TEXT = b'{"object":"text_completion","choices":[{"text":"a","index":%d,"finish_reason":%s}]}'


@pytest.mark.parametrize("chunk", [CHUNK, TEXT])
@pytest.mark.parametrize(
    ("finished", "reasons"),
    [
        ([], ()),
        ([(0, b'"stop"')], ("stop",)),
        ([(2, b'"stop"'), (0, b'"length"'), (1, b'"content_filter"')], ("length", "content_filter", "stop")),
        ([(1, b'"stop"')], ("stop",)),
        ([(0, b'"stop"'), (0, b"null")], ("stop",)),
        ([(0, b'"stop"'), (0, b'"length"')], ("length",)),
        ([(0, b'""'), (1, b"7")], ()),
    ],
)
def test_choices_say_why_they_finished_in_their_order(
    chunk: bytes, finished: list[tuple[int, bytes]], reasons: tuple[str, ...]
) -> None:
    begun = [chunk % (index, b"null") for index in (0, 1, 2)]
    assert stream_of(*begun, *[chunk % each for each in finished]).finish_reasons() == reasons


def test_several_choices_may_finish_in_one_chunk_and_with_the_usage() -> None:
    choices = [{"index": 1, "delta": {}, "finish_reason": "stop"}, {"delta": {}, "finish_reason": "length"}]
    last = {"object": "chat.completion.chunk", "choices": choices, "usage": {"prompt_tokens": 1}}
    assert stream_of(PIECES[0], json.dumps(last).encode()).finish_reasons() == ("length", "stop")


def test_what_a_model_says_of_reasons_is_none() -> None:
    said = {"delta": {"content": '"finish_reason":"stop"', "finish_reason": "stop"}, "finish_reason": None}
    piece = json.dumps({"object": "chat.completion.chunk", "choices": [said]}, separators=(",", ":"))
    assert stream_of(piece.encode()).finish_reasons() == ()


def test_a_stream_of_responses_has_no_reasons() -> None:
    assert stream_of(PIECES[1], OF_ACCOUNT[3]).finish_reasons() == ()


def test_without_usage_the_document_to_tell_of_is_one_that_ends_a_choice() -> None:
    end, usage = CHUNK % (0, b'"stop"'), OF_ACCOUNT[2]
    assert stream_of(PIECES[0]).reported() == b""
    assert stream_of(PIECES[0], end, PIECES[0]).reported() == end
    assert stream_of(PIECES[0], end, usage).reported() == usage
    assert stream_of(PIECES[0], usage, end).reported() == usage


def test_however_many_choices_upstream_makes_up_little_of_them_is_kept() -> None:
    reason = b'"' + b"r" * (MAX_REASON + 1) + b'"'
    indexes = [-1, *range(MAX_CHOICES + 10), 2**62]
    meter = stream_of(*[CHUNK % (index, b"null") for index in indexes])
    for index in indexes:
        meter.feed(b"data: " + CHUNK % (index, reason) + b"\n\n")

    assert meter.finish_reasons() == ("r" * MAX_REASON,) * MAX_CHOICES
    assert not meter.is_cut_off
