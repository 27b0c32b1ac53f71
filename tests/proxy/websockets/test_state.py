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


def done(input_tokens: int, output_tokens: int = 0) -> Any:
    usage = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    return told("response.done", response={"id": "r", "usage": usage})


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


def test_a_response_may_be_of_another_length_once() -> None:
    state = realtime()
    state.told(told("session.updated", session={"max_output_tokens": 3}))
    create = asked("response.create", response={"max_output_tokens": 5})
    (facts,) = state.turn(create, for_limits=True).facts
    assert (facts.model, facts.max_output_tokens) == ("gpt-realtime", 5)
    assert state.turn(None, for_limits=True).facts[-1].max_output_tokens == 3


@pytest.mark.parametrize("length", ["inf", 1.5, "7"])
def test_a_response_without_a_bound_is_not_bounded_by_its_session(length: Any) -> None:
    state = realtime()
    state.told(told("session.updated", session={"max_output_tokens": 1}))
    create = asked("response.create", response={"max_output_tokens": length})
    assert state.turn(create, for_limits=True).facts[-1].max_output_tokens is None


def test_a_session_that_is_about_to_have_no_bound_has_none() -> None:
    state = realtime()
    state.told(told("session.updated", session={"max_output_tokens": 1}))
    create = asked("response.create")
    state.asked(asked("session.update", session={"instructions": "x"}))
    assert state.turn(create, for_limits=True).facts[-1].max_output_tokens == 1
    state.asked(asked("session.update", session={"max_output_tokens": "inf"}))
    assert state.turn(create, for_limits=True).facts[-1].max_output_tokens is None


def test_a_turn_reads_all_that_was_said_before() -> None:
    state = realtime()
    state.sent("x" * 100)
    ask = state.turn(None, for_limits=True)
    assert ask.size == 100
    state.sent("y" * 7)  # while the turn runs: the next one's
    state.turn(None, for_limits=True)  # which begins before the first has ended
    state.told(done(30, 20), ask)
    assert state.turn(None, for_limits=True).size == 50 * 4 + 7
    state.told(done(0, 0), state.turn(None, for_limits=True))  # interrupted before it has read
    assert state.turn(None, for_limits=True).size == 50 * 4 + 7


def test_a_response_beside_the_conversation_does_not_make_it_shorter() -> None:
    state = realtime()
    for tokens in (100, 3):
        state.told(done(tokens))
    assert state.turn(None, for_limits=True).size == 400


@pytest.mark.parametrize("response", [{"conversation": "none"}, {"input": []}])
def test_a_response_beside_the_conversation_has_not_read_it(response: dict[str, Any]) -> None:
    state = realtime()
    state.sent("x" * 9000)
    create = asked("response.create", response=response)
    ask = state.turn(create, for_limits=True)
    state.told(done(3), ask)
    assert state.turn(asked("response.create"), for_limits=True).size > 9000


def test_what_is_asked_for_counts_once_it_may_begin() -> None:
    state = realtime()
    create = asked("response.create", response={"instructions": "x" * 9000})
    assert state.turn(create, for_limits=True).size > 9000
    assert state.turn(asked("response.create"), for_limits=True).size < 100
    state.sent(create.document)
    assert state.turn(asked("response.create"), for_limits=True).size > 9000


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
