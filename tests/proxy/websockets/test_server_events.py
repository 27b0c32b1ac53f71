"""What is read of upstream's events, and that nothing breaks the reading."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.metering.usage import Usage
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


def test_a_transcription_is_metered_in_tokens_or_not_at_all() -> None:
    tokens = {"type": "tokens", "input_tokens": 5, "output_tokens": 2}
    assert read(TRANSCRIBED, usage=tokens).usage == Usage(input_tokens=5, output_tokens=2)
    assert read(TRANSCRIBED, usage={"type": "duration", "seconds": 1.5}).usage is None


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
    usage = {"input_tokens": -5, "output_tokens": 2**60}
    assert read("response.done", response={"usage": usage}).usage is None


def test_a_piece_names_its_response() -> None:
    assert response_id_in(b'{"type":"x","response_id":"r"}') == "r"
    assert response_id_in(b"{") == ""


@given(st.sampled_from(sorted(SEEN)), st.binary() | st.text().map(str.encode))
def test_nothing_breaks_the_reader(kind: str, data: bytes) -> None:
    kind_of(data)
    assert read_event(kind, data).kind == kind
