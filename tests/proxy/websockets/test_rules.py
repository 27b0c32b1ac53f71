"""What the rules of a token refuse of the messages on a WebSocket."""

import json
from typing import Any

import pytest

from projects.rules import parse_rules
from projects.ruleset import Ruleset, make_ready
from proxy.endpoints import Endpoint
from proxy.errors import BadRequest, Forbidden, RequestTooLarge
from proxy.websockets.client_events import read_event
from proxy.websockets.rules import MessageJudge, Statement
from proxy.websockets.server_events import read_event as read_server_event
from proxy.websockets.state import MAX_SESSION_BYTES, ConversationState, RealtimeState, ResponsesState

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
        self.state: ConversationState = (
            RealtimeState("gpt-realtime", joins=False) if endpoint is REALTIME else ResponsesState()
        )
        self.judge = MessageJudge(endpoint, self.state, self.noted.append)

    def say(self, kind: str, **members: Any) -> Statement:
        return self.say_text(json.dumps({"type": kind, **members}))

    def say_text(self, text: str) -> Statement:
        event = read_event(text)
        assert event is not None
        statement = self.judge.judge_event(self.rules, event)
        self.state.asked(event)
        return statement

    def begin(self) -> None:
        """As upstream does by itself."""
        self.judge.judge_beginning(Statement(self.rules))

    def hear(self, kind: str, **session: Any) -> None:
        self.state.told(read_server_event(kind, json.dumps({"type": kind, "session": session}).encode()))

    def set(self, **session: Any) -> None:
        self.say("session.update", session=session)
        self.hear("session.updated", **session)


def test_a_turn_of_the_sessions_model_is_judged_by_the_rules_of_now() -> None:
    world = World({"models": ["other"]})
    with pytest.raises(Forbidden):
        world.say("response.create")
    with pytest.raises(Forbidden):
        world.begin()


def test_a_model_of_the_session_that_is_allowed_may_be_used() -> None:
    world = World({"models": ["gpt-realtime*"]})
    world.say("response.create")
    world.begin()


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
    world.set(max_output_tokens=7)
    world.set(max_output_tokens=7, instructions="x")
    world.say("response.create")
    world.begin()
    world.set(max_output_tokens=None)
    with pytest.raises(Forbidden):
        world.say("response.create")
    with pytest.raises(Forbidden):
        world.begin()


def test_what_stands_in_a_change_that_upstream_refuses_is_not_set() -> None:
    world = World(LIMITED)
    world.say("session.update", event_id="c", session={"max_output_tokens": 7})
    turn = world.say("response.create")  # upstream has yet to answer: perhaps
    assert world.state.failed("c", None)
    with pytest.raises(Forbidden):
        world.judge.judge_beginning(turn)
    with pytest.raises(Forbidden):
        world.say("response.create")


def test_a_turn_that_says_what_it_must_begins_whatever_its_session_is() -> None:
    world = World(LIMITED)
    world.hear("session.created", max_output_tokens="inf")
    turn = world.say("response.create", response={"max_output_tokens": 7})
    world.judge.judge_beginning(turn)
    with pytest.raises(Forbidden):
        world.begin()


@pytest.mark.parametrize(
    ("endpoint", "turn"),
    [
        (REALTIME, {"max_output_tokens": 7}),
        (REALTIME, {"response": [{"max_output_tokens": 7}]}),
        (REALTIME, {"session": {"max_output_tokens": 7}}),
        (RESPONSES, {"model": "gpt-5", "response": {"max_output_tokens": 7}}),
    ],
)
def test_what_a_turn_must_say_is_not_looked_for_where_nobody_reads_it(
    endpoint: Endpoint, turn: dict[str, Any]
) -> None:
    with pytest.raises(Forbidden):
        World(LIMITED, endpoint=endpoint).say("response.create", **turn)


@pytest.mark.parametrize("place", ["session", "response"])
def test_a_turn_of_responses_names_its_model_where_it_is_read(place: str) -> None:
    world = World({"models": ["ok"]}, endpoint=RESPONSES)
    with pytest.raises(Forbidden):
        world.say("response.create", **{place: {"model": "ok"}})
    world.say("response.create", model="ok")


def test_the_sessions_model_is_judged_though_a_turn_names_another() -> None:
    with pytest.raises(Forbidden):
        World({"models": ["ok"]}).say("response.create", response={"model": "ok"})


@pytest.mark.parametrize(
    ("rule", "session"),
    [
        ({"name": "max_output_tokens", "maximum": 100}, {"max_output_tokens": 900}),
        ({"name": "max_output_tokens", "maximum": 100, "required": True}, {"max_output_tokens": 900}),
        ({"name": "tools[].type", "allowed": ["function"]}, {"tools": [{"type": "mcp"}]}),
        ({"name": "prompt", "forbidden": True}, {"prompt": {"id": "p"}}),
    ],
)
def test_what_was_set_before_a_rule_is_judged_by_it(rule: dict[str, Any], session: dict[str, Any]) -> None:
    world = World({"networks": ["0.0.0.0/0"]})
    world.hear("session.created", max_output_tokens="inf", tools=[], prompt=None)
    world.set(**session)
    world.say("response.create")
    world.begin()
    world.rules = rules({"parameters": [rule]})
    with pytest.raises(Forbidden):
        world.say("response.create")
    with pytest.raises(Forbidden):
        world.begin()


def test_what_was_set_before_it_was_required_is_there() -> None:
    world = World({"models": ["gpt-realtime"]})
    world.set(max_output_tokens=5)
    world.rules = rules(LIMITED)
    world.say("response.create")
    world.begin()


def test_what_a_session_has_from_the_first_breaks_no_rule() -> None:
    world = World({"parameters": [{"name": "max_output_tokens", "maximum": 100}]})
    world.hear("session.created", max_output_tokens="inf")
    world.begin()
    world.hear("session.updated", max_output_tokens="inf", instructions="x")
    world.begin()


def test_a_session_that_is_too_long_to_be_kept_is_as_no_rule_allows() -> None:
    world = World({"parameters": [{"name": "tools[].type", "allowed": ["function"]}]})
    world.set(instructions="x" * 1000)
    world.begin()
    world.set(instructions="x" * MAX_SESSION_BYTES)
    with pytest.raises(Forbidden):
        world.begin()


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
