"""What is read of upstream's events, and that nothing breaks the reading."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.metering.usage import MAX_COUNT, Usage, read_usage
from proxy.websockets.server_events import SEEN, TRANSCRIBED, kind_of, read_event, response_id_in

REALTIME_USAGE = {
    "total_tokens": 110,
    "input_tokens": 100,
    "output_tokens": 10,
    "input_token_details": {
        "text_tokens": 40,
        "audio_tokens": 60,
        "cached_tokens": 50,
        "cached_tokens_details": {"text_tokens": 20, "audio_tokens": 30},
    },
    "output_token_details": {"text_tokens": 3, "audio_tokens": 7},
}


def read(kind: str, **members: Any) -> Any:
    return read_event(kind, json.dumps({"type": kind, **members}).encode())


@pytest.mark.parametrize(
    "event",
    [
        b'{"type":"response.done","x":1}',
        b'{"event_id":"event_1","type":"response.done"}',
        b' { "event_id" : "e" , "type" : "response.done" }',
        b'{"response":{"type":"other"},"type":"response.done"}',
        b'{"type":"response\\u002edone"}',
    ],
)
def test_the_kind_is_found_wherever_it_stands(event: bytes) -> None:
    assert kind_of(event) == "response.done"


@pytest.mark.parametrize("message", [b"", b"{", b"[]", b"\xff", b'{"type": 7}', b"{}"])
def test_what_is_no_event_has_no_kind(message: bytes) -> None:
    assert kind_of(message) == ""


def test_a_realtime_turns_usage_is_split() -> None:
    event = read("response.done", response={"id": "resp_1", "status": "completed", "usage": REALTIME_USAGE})
    assert event.response_id == "resp_1"
    assert event.usage == Usage(
        input_tokens=100,
        output_tokens=10,
        cached_tokens=50,
        audio_input_tokens=60,
        audio_output_tokens=7,
        cached_audio_tokens=30,
    )


def test_a_responses_turns_usage_is_read() -> None:
    usage = {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
    }
    response = {"id": "r", "model": "gpt-5", "service_tier": "flex", "usage": usage}
    event = read("response.completed", response=response)
    assert event.usage == Usage(
        model="gpt-5",
        service_tier="flex",
        input_tokens=9,
        output_tokens=5,
        cached_tokens=4,
        reasoning_tokens=2,
    )


def test_a_failed_turn_is_known_as_one() -> None:
    event = read("response.done", response={"id": "r", "status": "failed", "usage": None})
    assert (event.has_failed, event.usage) == (True, None)


def test_a_transcription_is_metered_in_tokens_or_in_seconds() -> None:
    tokens = {"type": "tokens", "input_tokens": 5, "output_tokens": 2}
    assert read(TRANSCRIBED, usage=tokens).usage == Usage(input_tokens=5, output_tokens=2)
    seconds = {"type": "duration", "seconds": 1.5}
    assert read(TRANSCRIBED, usage=seconds).usage == Usage(audio_seconds=1.5)


def test_the_images_of_a_turn_are_counted() -> None:
    usage = {"input_tokens": 200, "output_tokens": 1, "input_token_details": {"image_tokens": 100}}
    assert read("response.done", response={"usage": usage}).usage == Usage(
        input_tokens=200, output_tokens=1, image_input_tokens=100
    )


@pytest.mark.parametrize(
    ("member", "value", "count"),
    [
        ("audio_tokens", "80", Usage(input_tokens=200, output_tokens=100, audio_input_tokens=80)),
        ("audio_tokens", [80], Usage(input_tokens=200, output_tokens=100)),
        ("cached_tokens_details", 5, Usage(input_tokens=200, output_tokens=100)),
    ],
)
def test_one_odd_member_of_a_usage_loses_nothing_but_itself(member: str, value: object, count: Usage) -> None:
    usage = {"input_tokens": 200, "output_tokens": 100, "input_token_details": {member: value}}
    assert read("response.done", response={"usage": usage}).usage == count
    assert read(TRANSCRIBED, usage=usage).usage == count


def test_counts_with_a_point_are_counts() -> None:
    usage = {"type": "tokens", "input_tokens": 10.0, "output_tokens": "4"}
    assert read(TRANSCRIBED, usage=usage).usage == Usage(input_tokens=10, output_tokens=4)


def test_one_odd_member_of_an_event_loses_nothing_but_itself() -> None:
    usage = {"input_tokens": 5, "output_tokens": 2}
    response = {"id": "r", "model": 7, "status": ["failed"], "service_tier": {}, "usage": usage}
    event = read("response.done", event_id=5, response=response, error="x", session=None)
    assert (event.response_id, event.has_failed) == ("r", False)
    assert event.usage == Usage(input_tokens=5, output_tokens=2)
    session = {"model": "gpt-realtime", "max_output_tokens": "much", "audio": {"input": 5}}
    report = read("session.updated", session=session, response=7).session
    assert (report.model, report.max_output_tokens) == ("gpt-realtime", None)


def test_a_session_says_its_models_and_its_maximum() -> None:
    session = {
        "model": "gpt-realtime",
        "max_output_tokens": 70,
        "audio": {"input": {"transcription": {"model": "whisper-1"}}},
    }
    report = read("session.updated", session=session).session
    assert (report.model, report.transcription_model) == ("gpt-realtime", "whisper-1")
    assert report.max_output_tokens == 70
    assert json.loads(report.document) == session
    assert read("session.updated", session={"max_output_tokens": "inf"}).session.max_output_tokens is None
    assert read("session.updated", session=None).session is None


def test_a_session_that_cannot_be_read_is_reported_all_the_same() -> None:
    report = read("session.updated", session={"model": 5}).session
    assert (report.model, report.document) == ("", b'{"model": 5}')


def test_an_error_says_which_event_it_is_about() -> None:
    assert read("error", error={"event_id": "mine"}).caused_by == "mine"
    assert read("error", error={"message": "no"}).caused_by is None
    assert read("error", error={"event_id": "x" * 513}).caused_by is None


def test_nonsense_is_no_usage() -> None:
    usage = {"input_tokens": -5, "output_tokens": MAX_COUNT + 1}
    assert read("response.done", response={"usage": usage}).usage is None


@given(
    st.dictionaries(
        st.sampled_from([*REALTIME_USAGE, "input_tokens_details", "seconds"]),
        st.integers() | st.floats() | st.text() | st.dictionaries(st.text(), st.integers()) | st.none(),
    )
)
def test_sockets_and_answers_have_one_reader(usage: dict[str, object]) -> None:
    answered = read_usage(json.dumps({"usage": usage}).encode())
    assert read("response.done", response={"usage": usage}).usage == answered
    assert read(TRANSCRIBED, usage=usage).usage == answered


def test_a_piece_names_its_response() -> None:
    assert response_id_in(b'{"type":"x","response_id":"r"}') == "r"
    assert response_id_in(b"{") == ""


@given(st.sampled_from(sorted(SEEN)), st.binary() | st.text().map(str.encode))
def test_nothing_breaks_the_reader(kind: str, data: bytes) -> None:
    kind_of(data)
    assert read_event(kind, data).kind == kind
