"""What is known of a conversation between its turns."""

import json
from typing import Any

from proxy.websockets import client_events, server_events
from proxy.websockets.state import ConversationState


def realtime(model: str = "gpt-realtime", *, joins: bool = False) -> ConversationState:
    return ConversationState(model, is_realtime=True, joins=joins)


def asked(kind: str, **members: Any) -> Any:
    return client_events.read_event(json.dumps({"type": kind, **members}))


def told(kind: str, **members: Any) -> Any:
    return server_events.read_event(kind, json.dumps({"type": kind, **members}).encode())


def test_a_client_that_switches_the_model_is_believed_until_upstream_says_otherwise() -> None:
    state = realtime()
    state.asked(asked("session.update", session={"model": "dear", "max_output_tokens": 9}))
    facts, _ = state.turn(None, for_limits=True)
    assert (facts.model, facts.max_output_tokens) == ("dear", 9)
    state.told(told("session.updated", session={"model": "cheap"}))
    assert state.turn(None, for_limits=True)[0].model == "cheap"


def test_a_response_may_be_of_another_model_and_length_once() -> None:
    state = realtime()
    create = asked("response.create", response={"model": "other", "max_output_tokens": 5})
    state.asked(create)
    facts, _ = state.turn(create, for_limits=True)
    assert (facts.model, facts.max_output_tokens) == ("other", 5)
    assert state.turn(None, for_limits=True)[0].model == "gpt-realtime"


def test_a_turn_reads_all_that_was_said_before() -> None:
    state = realtime()
    state.sent("x" * 100)
    assert state.turn(None, for_limits=True)[1] == 100
    state.sent("y" * 7)  # while the turn runs: the next one's
    usage = {"input_tokens": 30, "output_tokens": 20}
    state.told(told("response.done", response={"id": "r", "usage": usage}))
    assert state.turn(None, for_limits=True)[1] == 50 * 4 + 7


def test_a_response_beside_the_conversation_does_not_make_it_shorter() -> None:
    state = realtime()
    for tokens in (100, 3):
        usage = {"input_tokens": tokens, "output_tokens": 0}
        state.told(told("response.done", response={"id": "r", "usage": usage}))
    assert state.turn(None, for_limits=True)[1] == 400


def test_audio_counts_as_what_it_is() -> None:
    state = realtime()
    state.sent(json.dumps({"type": "input_audio_buffer.append", "audio": "A" * 100_000}))
    assert state.turn(None, for_limits=True)[1] < 500
    state.sent(json.dumps({"type": "conversation.item.create", "text": '"input_audio_buffer.append"' * 10}))
    assert state.turn(None, for_limits=True)[1] > 600


def test_what_upstream_knows_of_elsewhere_makes_its_input_unknown() -> None:
    assert realtime(joins=True).turn(None, for_limits=True)[0].has_input_elsewhere
    state = realtime()
    state.asked(asked("session.update", session={"prompt": {"id": "p"}}))
    assert state.turn(None, for_limits=True)[0].has_input_elsewhere


def test_a_turn_of_responses_is_read_like_a_request() -> None:
    state = ConversationState("", is_realtime=False, joins=False)
    create = asked("response.create", model="gpt-5", input="hi", max_output_tokens=7)
    state.asked(create)
    facts, size = state.turn(create, for_limits=True)
    assert (facts.model, facts.max_output_tokens) == ("gpt-5", 7)
    assert size == len(create.document)
