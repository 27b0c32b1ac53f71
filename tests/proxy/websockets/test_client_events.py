"""Which of a client's events are seen, what is read from them, and what is refused as unreadable."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.websockets.client_events import (
    MAX_MEMBERS,
    SESSIONS,
    TURN,
    OutputBound,
    UnreadableEvent,
    read_event,
)
from tests.depths import TOO_DEEP

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize(
    "message",
    [
        '{"type": "input_audio_buffer.append", "audio": "AAAA"}',
        '{"type": "conversation.item.create", "item": {"content": [{"text": "\\u00e9\\u0001"}]}}',
        '{"type": "conversation.item.create", "item": {"content": [{"text": "\\\\u0041"}]}}',
        '{"type": "conversation.item.create", "text": "say response.create"}',
        '{"type": "conversation.item.create", "item": {"output": "{\\"model\\": 1, \\"model\\": 2}"}}',
        '{"type": "conversation.item.create", "item": {"model": "no choice"}}',
        "no JSON at all",
        b"\x00\x01\x02\x03",
        b"\xff\xfe no text",
        b"\xe9",
        "",
        b"",
    ],
)
def test_other_messages_are_not_looked_at(message: str | bytes) -> None:
    assert read_event(message) is None


def test_what_a_session_chooses_is_read() -> None:
    event = read_event(
        json.dumps(
            {
                "event_id": "mine",
                "type": "session.update",
                "session": {
                    "model": "gpt-realtime",
                    "max_output_tokens": 100,
                    "audio": {"input": {"transcription": {"model": "whisper-1"}}},
                },
            }
        )
    )
    assert event is not None
    assert (event.kind, event.event_id) == ("session.update", "mine")
    assert (event.model, event.transcription_model) == ("gpt-realtime", "whisper-1")
    assert (event.output, event.refers_elsewhere) == (OutputBound(100), False)


def test_a_response_may_choose_a_model_and_a_maximum() -> None:
    event = read_event('{"type":"response.create","response":{"model":"m","max_output_tokens":"inf"}}')
    assert event is not None
    assert (event.kind, event.named_model, event.output) == ("response.create", "m", OutputBound(None))


@pytest.mark.parametrize(
    ("response", "output"),
    [
        ("{}", None),
        ('{"max_output_tokens":null}', None),
        ('{"max_output_tokens":7}', OutputBound(7)),
        ('{"max_output_tokens":7,"max_response_output_tokens":9}', OutputBound(9)),
        ('{"max_output_tokens":"inf","max_response_output_tokens":1}', OutputBound(None)),
        *(
            (f'{{"max_output_tokens":{value}}}', OutputBound(None))
            for value in ('"inf"', "1.5", '"7"', "0", "-1", "1e2", "[1]", "true", "9999999999")
        ),
    ],
)
def test_an_output_that_is_not_bounded_by_a_number_is_not_unsaid(
    response: str, output: OutputBound | None
) -> None:
    event = read_event(
        f'{{"type":"response.create","session":{{"max_output_tokens":1}},"response":{response}}}'
    )
    assert event is not None
    assert event.output == output


def test_a_model_counts_where_it_is_read() -> None:
    named = {
        '{"type":"response.create","session":{"model":"m"}}': "",
        '{"type":"response.create","response":{"model":"m"}}': "",
        '{"type":"response.create","model":"m"}': "m",
        '{"type":"session.update","model":"m"}': "",
        '{"type":"session.update","session":{"model":"m"}}': "m",
    }
    for text, model in named.items():
        event = read_event(text)
        assert event is not None
        assert (event.named_model, event.model) == ("m", model)


@pytest.mark.parametrize("length", [0, 513])
def test_an_event_id_that_is_none_is_not_kept(length: int) -> None:
    event = read_event(json.dumps({"type": "response.create", "event_id": "x" * length}))
    assert event is not None
    assert event.event_id is None


@pytest.mark.parametrize(
    "member",
    ['"prompt": {"id": "pmpt_1"}', '"tools": [{"type": "mcp"}]', '"tools": [{"type": "\\u006dcp"}]'],
)
def test_what_upstream_adds_of_its_own_is_noticed(member: str) -> None:
    event = read_event(f'{{"type": "session.update", "session": {{{member}}}}}')
    assert event is not None
    assert event.refers_elsewhere


def test_an_event_in_a_binary_message_is_seen_as_readers_of_bytes_see_it() -> None:
    event = read_event(b'\xef\xbb\xbf{"type": "response.create", "model": "m"}')
    assert event is not None
    assert event.model == "m"


@pytest.mark.parametrize(
    "name",
    [
        *("type", "model", "session", "response", "input", "audio", "input_audio_transcription"),
        *("max_output_tokens", "service_tier", "tools", "previous_response_id"),
    ],
)
def test_a_name_that_stands_twice_is_refused(name: str) -> None:
    with pytest.raises(UnreadableEvent, match=name):
        read_event(f'{{"{name}": null, "x": "session.update", "{name}": null}}')


@pytest.mark.parametrize(
    "message",
    [
        '{"type": "session.update", "session": {"model": "a"}, "model": "b"}',
        '{"type": "session.update", "session": {"model": ["a"]}}',
        '{"type": ["session.update"]}',
        '{"type": "session.update"',
        '{"type": "response.create", "model": "%s"}' % ("m" * 201),
        '"session.update"',
        '{"type": "session.update", "session": {"audio": {"input": {}, "input": {}}}}',
        '{"type": "\\u0073ession.updat\\u0065", "session": {"model": 1}}',
        "{" + ",".join(f'"n{i}": 0' for i in range(MAX_MEMBERS)) + ', "type": "session.update"}',
        '{"type": "response.create", "x": ' + "[" * TOO_DEEP + "]" * TOO_DEEP + "}",
        '{"type":"response.create"}'.encode("utf-16-le"),
        '{"type":"response.create"}'.encode("utf-32-be"),
    ],
)
def test_what_cannot_be_read_with_certainty_is_refused(message: str | bytes) -> None:
    with pytest.raises(UnreadableEvent):
        read_event(message)


@given(
    st.sampled_from((*SESSIONS, TURN, "session.of_tomorrow")),
    st.text(max_size=200),
    st.dictionaries(st.text(), JSON, max_size=3),
    st.booleans(),
)
def test_an_event_is_found_however_it_is_written(
    kind: str, model: str, others: dict[str, Any], hides: bool
) -> None:
    guarded = {"type", "model", "session", "response", "event_id"}
    members = {name: value for name, value in others.items() if name not in guarded}
    text = json.dumps({**members, "session": {"model": model}, "type": kind})
    if hides:
        text = text.replace("session", "\\u0073ession").replace("response", "respons\\u0065")
    event = read_event(text)

    if kind == "session.of_tomorrow" and not model:
        assert event is None
        return
    assert event is not None
    assert (event.kind, event.named_model) == (kind, model)


@given(st.text() | st.binary() | JSON.map(json.dumps))
def test_nothing_breaks_the_reader(message: str | bytes) -> None:
    with suppress(UnreadableEvent):
        read_event(message)
