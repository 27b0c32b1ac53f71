"""What a client's handshake asks for, and what of it goes upstream."""

from typing import Any

import pytest

from proxy.errors import BadRequest, EndpointNotFound
from proxy.websockets.handshake import Handshake

KEY = "openai-insecure-api-key."


def handshake(**scope: Any) -> Handshake:
    values = {
        "raw_path": b"/v1/realtime",
        "query_string": b"model=gpt-realtime",
        "headers": [],
        "subprotocols": [],
    }
    return Handshake.from_scope({**values, **scope})


def test_a_token_comes_in_a_header_or_in_a_subprotocol() -> None:
    assert handshake(headers=[(b"authorization", b"Bearer one")]).token == "one"
    assert handshake(subprotocols=["realtime", KEY + "two"]).token == "two"
    both = handshake(headers=[(b"authorization", b"Bearer one")], subprotocols=[KEY + "two"])
    assert both.token == "one"
    assert handshake().token == ""


def test_a_token_is_in_no_representation() -> None:
    assert "secret" not in repr(handshake(subprotocols=[KEY + "secret"]))


def test_only_subprotocols_that_are_no_credentials_are_passed_on() -> None:
    offered = ["realtime", KEY + "x", "openai-organization.o", "openai-project.p", "openai-beta.realtime-v1"]
    assert handshake(subprotocols=offered).subprotocols == ("realtime", "openai-beta.realtime-v1")


@pytest.mark.parametrize("name", [KEY.upper() + "x", "OpenAI-Organization.o", "my-SK-WT-x", "a.sk-wt-x"])
def test_credentials_are_known_in_any_case_and_place(name: str) -> None:
    assert handshake(subprotocols=["realtime", name]).subprotocols == ("realtime",)


def test_a_token_is_read_whatever_the_case_of_its_prefix() -> None:
    assert handshake(subprotocols=["OpenAI-Insecure-API-Key.Two"]).token == "Two"


@pytest.mark.parametrize("name", ["a\r\nx-evil: 1", "a b", "a\x00", "é", "a;b"])
def test_a_subprotocol_that_no_header_may_hold_is_refused(name: str) -> None:
    with pytest.raises(BadRequest):
        handshake(subprotocols=["realtime", name])


@pytest.mark.parametrize(
    ("offered", "by_upstream", "selected"),
    [
        (["realtime", KEY + "x"], "realtime", "realtime"),
        (["realtime", KEY + "x"], None, "realtime"),
        (["a", "b"], "b", "b"),
        (["a"], None, None),
        ([], None, None),
        ([KEY + "x"], KEY + "x", None),
    ],
)
def test_a_subprotocol_is_selected(offered: list[str], by_upstream: str | None, selected: str | None) -> None:
    assert handshake(subprotocols=offered).selected(by_upstream) == selected


def test_the_model_is_read_as_upstream_reads_it() -> None:
    assert handshake(query_string=b"a=1&model=gpt%2Drealtime").model == "gpt-realtime"
    assert handshake(query_string=b"intent=transcription").model == ""
    with pytest.raises(BadRequest):
        handshake(query_string=b"model=a&mod%65l=b")


def test_only_a_session_has_a_model() -> None:
    assert handshake().is_realtime
    assert not handshake(raw_path=b"/v1/responses").is_realtime
    assert handshake(query_string=b"intent=transcription").only_transcribes


def test_a_call_is_joined() -> None:
    assert handshake(query_string=b"call_id=rtc_1").joins
    assert not handshake().joins


def test_headers_go_upstream_without_those_of_the_handshake() -> None:
    headers = [
        (b"host", b"proxy.test"),
        (b"upgrade", b"websocket"),
        (b"connection", b"Upgrade"),
        (b"sec-websocket-key", b"k"),
        (b"sec-websocket-version", b"13"),
        (b"sec-websocket-extensions", b"permessage-deflate"),
        (b"sec-websocket-protocol", KEY.encode() + b"x"),
        (b"origin", b"https://app.test"),
        (b"openai-beta", b"realtime=v1"),
    ]
    sent = handshake(headers=headers).headers_to_upstream("sk-up")
    assert sent == [
        (b"openai-beta", b"realtime=v1"),
        (b"authorization", b"Bearer sk-up"),
        (b"accept-encoding", b"identity"),
    ]


def test_a_path_outside_v1_is_refused() -> None:
    with pytest.raises(EndpointNotFound):
        handshake(raw_path=b"http://proxy.test/v1/realtime")
