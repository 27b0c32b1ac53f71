"""What is known of a conversation between its turns."""

import json
from typing import Any

import pytest

from proxy.websockets import client_events, server_events
from proxy.websockets.state import RealtimeState, ResponsesState


def realtime(model: str = "gpt-realtime", *, joins: bool = False) -> RealtimeState:
    return RealtimeState(model, joins=joins)


def asked(kind: str, **members: Any) -> Any:
    return client_events.read_event(json.dumps({"type": kind, **members}))


def told(kind: str, **members: Any) -> Any:
    return server_events.read_event(kind, json.dumps({"type": kind, **members}).encode())


def test_a_change_of_the_session_holds_once_upstream_has_taken_it() -> None:
    state = realtime()
    change = asked("session.update", event_id="c", session={"model": "cheap", "max_output_tokens": 9})
    create = asked("response.create")
    state.asked(change)
    may_be = state.turn(create, for_limits=True).facts
    assert [(facts.model, facts.max_output_tokens) for facts in may_be] == [
        ("gpt-realtime", None),
        ("cheap", None),
    ]
    assert state.model == "gpt-realtime"
    state.told(told("session.updated", session={"model": "taken", "max_output_tokens": 9}))
    (facts,) = state.turn(create, for_limits=True).facts
    assert (facts.model, facts.max_output_tokens) == ("taken", 9)


@pytest.mark.parametrize("event_id", ["mine", None])
def test_a_change_that_upstream_refuses_never_was(event_id: str | None) -> None:
    state = realtime()
    session = {"model": "cheap", "max_output_tokens": 9, "input_audio_transcription": {"model": "cheap"}}
    state.asked(asked("session.update", event_id=event_id, session=session))
    assert state.failed(event_id, None)
    (facts,) = state.turn(asked("response.create"), for_limits=True).facts
    assert (facts.model, facts.max_output_tokens) == ("gpt-realtime", None)
    assert state.transcription_model == ""


def test_what_upstream_does_not_repeat_is_as_it_was_asked_for() -> None:
    state = realtime()
    session = {"model": "other", "audio": {"input": {"transcription": {"model": "whisper-1"}}}}
    state.asked(asked("session.update", session=session))
    state.told(told("session.updated", session={}))
    assert (state.model, state.transcription_model) == ("other", "whisper-1")


def test_a_response_may_be_of_another_model_and_length_once() -> None:
    state = realtime()
    create = asked("response.create", response={"model": "other", "max_output_tokens": 5})
    state.asked(create)
    (facts,) = state.turn(create, for_limits=True).facts
    assert (facts.model, facts.max_output_tokens) == ("other", 5)
    assert state.turn(None, for_limits=True).facts[-1].model == "gpt-realtime"


def test_a_turn_reads_all_that_was_said_before() -> None:
    state = realtime()
    state.sent("x" * 100)
    assert state.turn(None, for_limits=True).size == 100
    state.sent("y" * 7)  # while the turn runs: the next one's
    usage = {"input_tokens": 30, "output_tokens": 20}
    state.told(told("response.done", response={"id": "r", "usage": usage}))
    assert state.turn(None, for_limits=True).size == 50 * 4 + 7


def test_a_response_beside_the_conversation_does_not_make_it_shorter() -> None:
    state = realtime()
    for tokens in (100, 3):
        usage = {"input_tokens": tokens, "output_tokens": 0}
        state.told(told("response.done", response={"id": "r", "usage": usage}))
    assert state.turn(None, for_limits=True).size == 400


def test_audio_counts_as_what_it_is() -> None:
    state = realtime()
    state.sent(json.dumps({"type": "input_audio_buffer.append", "audio": "A" * 100_000}))
    assert state.turn(None, for_limits=True).size < 500
    state.sent(json.dumps({"type": "conversation.item.create", "text": '"input_audio_buffer.append"' * 10}))
    assert state.turn(None, for_limits=True).size > 600


def test_what_upstream_knows_of_elsewhere_makes_its_input_unknown() -> None:
    assert realtime(joins=True).turn(None, for_limits=True).facts[-1].has_input_elsewhere
    state = realtime()
    state.asked(asked("session.update", session={"prompt": {"id": "p"}}))
    assert state.turn(None, for_limits=True).facts[-1].has_input_elsewhere


def test_a_turn_of_responses_is_read_like_a_request() -> None:
    state = ResponsesState()
    create = asked("response.create", model="gpt-5", input="hi", max_output_tokens=7)
    state.asked(create)
    ask = state.turn(create, for_limits=True)
    (facts,) = ask.facts
    assert (facts.model, facts.max_output_tokens) == ("gpt-5", 7)
    assert ask.size == len(create.document)


@pytest.mark.parametrize(
    "message",
    [
        '{"type":"input_audio_buffer.append","audio":"%s","type":"conversation.item.create"}' % ("A" * 9000),
        '{"type":"input_audio_buffer.append","type":"conversation.item.create","x":"%s"}' % ("x" * 9000),
        '{"audio":"","type":"conversation.item.create","item":{"text":"%s"}}' % ("x" * 9000),
        '{"audio":"","item":{"text":"%s"},"type":"input_audio_buffer.append"}' % ("x" * 9000),
        '{"type":"conversation.item.create","item":{"text":"%s"}}' % ("\U0001f600" * 2250),
    ],
)
def test_what_is_not_certainly_audio_counts_by_its_bytes(message: str) -> None:
    state = realtime()
    state.sent(message)
    assert state.turn(None, for_limits=True).size >= 9000


@pytest.mark.parametrize(
    "message",
    [
        '{"type": "input_audio_buffer.append", "audio": "%s"}',
        '{"event_id":"e","type":"input_audio_buffer.append","audio":"%s"}',
        '{"audio":"%s","type":"input_audio_buffer.append"}',
        '{"audio":"%s","type":"input_audio_buffer.append","event_id":"e"}\n',
    ],
)
def test_audio_is_known_in_any_order(message: str) -> None:
    state = realtime()
    state.sent(message % ("A" * 9000))
    assert state.turn(None, for_limits=True).size < 100
