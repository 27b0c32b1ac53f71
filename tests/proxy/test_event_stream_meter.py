"""The meter passes lightly over what only carries a piece of output: it must miss nothing by that."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.metering.event_stream_meter import EventStreamMeter

PIECES = [
    b'{"object":"chat.completion.chunk","choices":[{"delta":{"content":"a"},"finish_reason":null}],"usage":null}',
    b'{"type":"response.output_text.delta","delta":"a"}',
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
    def _is_mere_piece(self, data: bytes) -> bool:
        return False


@given(st.lists(st.sampled_from([*PIECES, *OF_ACCOUNT]), max_size=12))
def test_no_event_of_account_is_missed_between_pieces(events: list[bytes]) -> None:
    light, thorough = EventStreamMeter(), _Thorough()
    for event in events:
        light.feed(b"data: " + event + b"\n\n")
        thorough.feed(b"data: " + event + b"\n\n")

        assert _said(light) == _said(thorough)


def _said(meter: EventStreamMeter) -> tuple[object, ...]:
    return meter.pieces, meter.has_ended, meter.is_cut_off, meter.finish(), meter.work()


def test_most_pieces_are_passed_over_lightly() -> None:
    for piece in PIECES[:2]:
        meter = EventStreamMeter()
        meter.feed(b"data: " + piece + b"\n\n")

        assert meter._is_mere_piece(piece)
