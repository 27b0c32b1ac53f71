"""What the rules of a token refuse of the messages on a WebSocket."""

import json
from typing import Any

import pytest

from projects.rules import parse_rules
from projects.ruleset import Ruleset, make_ready
from proxy.endpoints import Endpoint
from proxy.errors import BadRequest, Forbidden, RequestTooLarge
from proxy.websockets.client_events import read_event
from proxy.websockets.rules import MessageJudge
from proxy.websockets.state import RealtimeState, ResponsesState

REALTIME = Endpoint(path="/realtime", methods=(), websocket=True, usage="openai", family="realtime")
RESPONSES = Endpoint(path="/responses", methods=("POST",), websocket=True, usage="openai", family="responses")
LIMITED = {"parameters": [{"name": "max_output_tokens", "required": True, "maximum": 100}]}
TWICE = '{"type":"response.create","response":{"metadata":{},"metadata":{}}}'


def rules(document: dict[str, Any]) -> Ruleset:
    ready = make_ready(parse_rules(document))
    assert ready is not None
    return ready


class World:
    def __init__(self, document: dict[str, Any], *, endpoint: Endpoint = REALTIME) -> None:
        self.rules = rules(document)
        self.noted: list[str] = []
        state = RealtimeState("gpt-realtime", joins=False) if endpoint is REALTIME else ResponsesState()
        self.judge = MessageJudge(endpoint, state, self.noted.append)

    def say(self, kind: str, **members: Any) -> None:
        self.say_text(json.dumps({"type": kind, **members}))

    def say_text(self, text: str) -> None:
        event = read_event(text)
        assert event is not None
        self.judge.judge_event(self.rules, event)


def test_a_turn_of_the_sessions_model_is_judged_by_the_rules_of_now() -> None:
    world = World({"models": ["other"]})
    with pytest.raises(Forbidden):
        world.say("response.create")
    with pytest.raises(Forbidden):
        world.judge.judge_unasked_turn(world.rules)


def test_a_model_of_the_session_that_is_allowed_may_be_used() -> None:
    world = World({"models": ["gpt-realtime*"]})
    world.say("response.create")
    world.judge.judge_unasked_turn(world.rules)


@pytest.mark.parametrize(
    ("endpoint", "turn"),
    [
        (RESPONSES, {"model": "gpt-5", "input": "x"}),
        (RESPONSES, {"model": "gpt-5", "session": {"max_output_tokens": 7}}),
        (REALTIME, {}),
        (REALTIME, {"response": {"max_output_tokens": None}}),
    ],
)
def test_what_a_turn_must_say_is_missed(endpoint: Endpoint, turn: dict[str, Any]) -> None:
    with pytest.raises(Forbidden) as refused:
        World(LIMITED, endpoint=endpoint).say("response.create", **turn)
    assert refused.value.param == "max_output_tokens"


@pytest.mark.parametrize(
    ("endpoint", "turn"),
    [
        (RESPONSES, {"model": "gpt-5", "max_output_tokens": 7}),
        (REALTIME, {"response": {"max_output_tokens": 7}}),
    ],
)
def test_what_a_turn_must_say_is_found(endpoint: Endpoint, turn: dict[str, Any]) -> None:
    World(LIMITED, endpoint=endpoint).say("response.create", **turn)


def test_what_a_turn_must_say_may_stand_in_the_session_until_it_is_taken_back() -> None:
    world = World(LIMITED)
    world.say("session.update", session={"max_output_tokens": 7})
    world.say("session.update", session={"instructions": "x"})
    world.say("response.create")
    world.judge.judge_unasked_turn(world.rules)
    world.say("session.update", session={"max_output_tokens": None})
    with pytest.raises(Forbidden):
        world.say("response.create")
    with pytest.raises(Forbidden):
        world.judge.judge_unasked_turn(world.rules)


def test_a_message_is_no_larger_than_rules_and_endpoint_allow() -> None:
    world = World({"max_body_bytes": 100})
    world.judge.judge_size(world.rules, 100)
    with pytest.raises(RequestTooLarge):
        world.judge.judge_size(world.rules, 101)
    small = MessageJudge(
        Endpoint(path="/realtime", methods=(), max_request_bytes=10), RealtimeState("m", joins=False), print
    )
    small.judge_size(None, 10)
    with pytest.raises(RequestTooLarge):
        small.judge_size(None, 11)


def test_rules_in_shadow_mode_refuse_nothing() -> None:
    rule = {"name": "max_output_tokens", "required": True, "shadow": True}
    lists = {"models": ["o"], "max_body_bytes": 1, "shadow": ["models", "max_body_bytes"]}
    world = World({"parameters": [rule]} | lists)
    world.judge.judge_size(world.rules, 2)
    world.say("response.create")
    world.say_text(TWICE)
    assert set(world.noted) == {
        "request_too_large",
        "model_not_allowed",
        "param_not_allowed:max_output_tokens",
        "bad_request",
    }


def test_rules_that_look_into_no_message_read_none() -> None:
    World({"networks": ["0.0.0.0/0"]}).say_text(TWICE)
    World({"parameters": [{"name": "n", "maximum": 1, "endpoints": ["chat"]}]}).say_text(TWICE)


def test_rules_that_hold_cannot_be_evaded_by_a_member_that_stands_twice() -> None:
    with pytest.raises(BadRequest):
        World({"models": ["gpt-realtime"]}).say_text(TWICE)


def test_a_rule_for_the_websocket_alone_is_looked_for() -> None:
    rule = {"name": "max_output_tokens", "maximum": 100, "endpoints": ["WEBSOCKET /realtime"]}
    with pytest.raises(Forbidden):
        World({"parameters": [rule]}).say("response.create", response={"max_output_tokens": 101})
