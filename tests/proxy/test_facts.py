import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.facts import MAX_CHOICES, NO_FACTS, Facts, peek

CHAT = "/chat/completions"


def look(path: str = CHAT, **body: Any) -> Facts:
    return peek(json.dumps(body).encode(), path, for_limits=True)


def test_model_and_stream_are_seen() -> None:
    assert look(model="gpt-4o", stream=True, service_tier="flex") == Facts(
        model="gpt-4o", is_stream=True, service_tier="flex"
    )


@pytest.mark.parametrize(
    ("path", "body", "most"),
    [
        (CHAT, {"max_tokens": 10}, 10),
        (CHAT, {"max_completion_tokens": 20}, 20),
        (CHAT, {"max_tokens": 10, "max_completion_tokens": 20}, 20),
        (CHAT, {"max_tokens": 10, "n": 3}, 30),
        (CHAT, {"max_tokens": 10.0, "n": 3.0}, 30),
        ("/completions", {"max_tokens": 10, "best_of": 4, "n": 2}, 40),
        ("/responses", {"max_output_tokens": 50}, 50),
        ("/completions", {"max_tokens": 10, "prompt": ["a", "b", "c"], "n": 2}, 60),
        ("/completions", {"max_tokens": 10, "prompt": [[1, 2], [3]]}, 20),
        ("/completions", {"max_tokens": 10, "prompt": [1, 2, 3]}, 10),
        ("/images/generations", {"max_tokens": 10}, None),
        (CHAT, {"max_output_tokens": 1}, None),
        ("/responses", {"max_tokens": 1}, None),
        (CHAT, {"max_tokens": None}, None),
        (CHAT, {"max_tokens": "10"}, None),
        (CHAT, {"max_tokens": True}, None),
        (CHAT, {"max_tokens": -5}, None),
        (CHAT, {"max_tokens": 0}, None),
        (CHAT, {"max_tokens": 1e300}, None),
    ],
)
def test_most_output_is_what_the_endpoint_goes_by(path: str, body: dict[str, Any], most: int | None) -> None:
    assert look(path, model="m", **body).max_output_tokens == most


@pytest.mark.parametrize("value", [1, None, ["gpt-4o"], {"a": 1}])
def test_a_model_that_is_no_text_is_none(value: object) -> None:
    assert look(model=value, max_tokens=5) == Facts(max_output_tokens=5)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/responses", {"previous_response_id": "resp_1"}),
        ("/responses", {"conversation": {"id": "conv_1"}}),
        ("/responses", {"prompt": {"id": "pmpt_1"}}),
        (CHAT, {"messages": [{"content": [{"type": "image_url", "image_url": {"url": "http://x/y.png"}}]}]}),
        ("/responses", {"input": [{"content": [{"type": "input_file", "file_id": "file-1"}]}]}),
        ("/responses", {"input": [{"type": "item_reference", "id": "msg_1"}]}),
        ("/responses", {"tools": [{"type": "function", "name": "f"}, {"type": "web_search"}]}),
        ("/responses", {"tools": {"type": "function"}}),
        (CHAT, {"web_search_options": {}}),
    ],
)
def test_input_that_is_elsewhere_is_noticed(path: str, body: dict[str, Any]) -> None:
    assert look(path, **body).has_input_elsewhere


def test_input_that_is_elsewhere_cannot_be_hidden_by_escapes() -> None:
    body = b'{"model":"m","messages":[{"content":[{"image\\u005furl":{"url":"http://x/y.png"}}]}]}'
    assert peek(body, CHAT, for_limits=True).has_input_elsewhere
    usual = b'{"model":"m","input":"\\u00e9 \\u003cb\\u003e"}'
    assert not peek(usual, CHAT, for_limits=True).has_input_elsewhere


@pytest.mark.parametrize(
    ("given", "inputs"), [("a", 1), (["a", "b"], 2), ([1, 2], 1), ([[1], [2]], 2), ([], 1)]
)
def test_texts_of_one_request_are_counted(given: object, inputs: int) -> None:
    assert look("/embeddings", input=given).inputs == inputs
    assert look("/completions", prompt=given).inputs == inputs
    assert look("/responses", input=given).inputs == 1


def test_background_is_noticed() -> None:
    assert look("/responses", background=True).is_background
    assert not look("/responses", background="yes").is_background


@pytest.mark.parametrize("path", ["/threads/runs", "/threads/thread_1/runs"])
def test_a_run_has_its_input_elsewhere_and_goes_on_by_itself(path: str) -> None:
    facts = look(path, model="gpt-4o", assistant_id="asst_1", max_completion_tokens=500)
    assert (facts.is_background, facts.has_input_elsewhere, facts.max_output_tokens) == (True, True, 500)
    unlimited = peek(b'{"model":"gpt-4o"}', path)
    assert (unlimited.is_background, unlimited.has_input_elsewhere) == (True, True)


@pytest.mark.parametrize("path", ["/threads", "/threads/t/messages", "/threads/t/runs/r", "/evals/e/runs"])
def test_what_is_beside_runs_is_none(path: str) -> None:
    assert not look(path, model="m").is_background


def test_input_that_is_all_here_is_noticed_too() -> None:
    assert not look(CHAT, messages=[{"role": "user", "content": "Hi"}]).has_input_elsewhere
    assert not look("/completions", prompt="{text}").has_input_elsewhere
    assert not look(
        "/responses", previous_response_id=None, conversation=None, tools=None
    ).has_input_elsewhere
    assert not look(
        CHAT, tools=[{"type": "function"}, {"type": "custom"}], tool_choice="auto"
    ).has_input_elsewhere


SPOILT = st.builds(
    lambda head, spoilt, tail: head + spoilt + tail,
    st.sampled_from(
        [
            b'{"model":"tts-1","tools":[{"type":"',
            b'{"model":"m","prompt":["',
            b'{"input":[',
            b'{"model":{"',
            b'{"prompt":{"id":"',
            b'{"stream":true,"',
        ]
    ),
    st.binary(max_size=10) | st.just(b"\\ud800") | st.just(b"[" * 980 + b"]" * 980),
    st.sampled_from([b'"}]}', b'"]}', b"]}", b'":1}}', b'"}}', b'":1}', b""]),
)


@given(
    SPOILT,
    st.sampled_from([CHAT, "/audio/speech", "/completions", "/embeddings", "/threads/runs"]),
    st.booleans(),
)
def test_no_bytes_break_the_look(body: bytes, path: str, for_limits: bool) -> None:
    assert isinstance(peek(body, path, for_limits=for_limits), Facts)


def test_tools_that_are_no_text_may_bring_in_anything() -> None:
    body = b'{"model":"tts-1","tools":[{"type":"\xff"}]}'
    assert peek(body, "/audio/speech", for_limits=True).has_input_elsewhere


@pytest.mark.parametrize("name", ["tools", "prompt"])
def test_no_depth_breaks_the_look(name: str) -> None:
    for depth in range(900, 1000):  # about what a reader can, less what its callers have used of it
        body = b'{"%b":%b}' % (name.encode(), b"[" * depth + b"]" * depth)
        peek(body, "/completions", for_limits=True)


@given(st.binary(max_size=50) | st.recursive(st.none() | st.text(), st.lists).map(json.dumps).map(str.encode))
def test_anything_else_has_no_facts(body: bytes) -> None:
    assert peek(body, CHAT, for_limits=True) == NO_FACTS


def test_without_limits_only_what_the_ledger_asks_for_is_looked_at() -> None:
    body = b'{"model":"m","stream":true,"max_tokens":5,"previous_response_id":"r"}'
    assert peek(body, CHAT) == Facts(model="m", is_stream=True)


@pytest.mark.parametrize(
    ("n", "choices"), [("3", 3), ("2.0", 2), ("null", 1), ('"3"', 1), ("0", 1), ("1e15", MAX_CHOICES)]
)
def test_choices_are_counted_without_limits_too(n: str, choices: int) -> None:
    assert peek(b'{"n":%b}' % n.encode(), "/chat/completions").choices == choices


@pytest.mark.parametrize("for_limits", [False, True])
def test_a_text_to_be_read_aloud_is_as_long_as_it_is(for_limits: bool) -> None:
    body = b'{"model":"gpt-4o-mini-tts","input":"Good day"}'
    assert peek(body, "/audio/speech", for_limits=for_limits).spoken_bytes == 8
    assert peek(b'{"model":"tts-1"}', "/audio/speech", for_limits=for_limits).spoken_bytes == 0
    assert peek(body, "/embeddings", for_limits=for_limits).spoken_bytes == 0
