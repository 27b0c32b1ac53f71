"""What opens a WebSocket, and what does not."""

from typing import Any

import pytest

from llm_proxy_site.server.handshake import asks_for_websocket, offered_subprotocols, upgrade_problem
from llm_proxy_site.server.request_head import RequestHead

HANDSHAKE = {
    "host": "x",
    "connection": "keep-alive, Upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def scope_of(method: str = "GET", **changed: str) -> dict[str, Any]:
    headers = {**HANDSHAKE, **{name.replace("_", "-"): value for name, value in changed.items()}}
    return {
        "method": method,
        "http_version": "1.1",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items() if value],
    }


@pytest.mark.parametrize(
    ("method", "changed"),
    [
        ("POST", {}),
        ("GET", {"connection": "keep-alive"}),
        ("GET", {"sec_websocket_version": "8"}),
        ("GET", {"sec_websocket_version": ""}),
        ("GET", {"sec_websocket_key": "short"}),
        ("GET", {"sec_websocket_key": "c2hvcnQ="}),
        ("GET", {"sec_websocket_key": ""}),
    ],
)
def test_a_handshake_that_lacks_something_is_none(method: str, changed: dict[str, str]) -> None:
    assert upgrade_problem(scope_of(), has_body=False) == ""
    assert upgrade_problem(scope_of(method, **changed), has_body=False)


def test_a_handshake_has_no_body() -> None:
    assert upgrade_problem(scope_of(), has_body=True)


def head_with(*upgrades: bytes) -> RequestHead:
    headers = [(b"upgrade", value) for value in upgrades]
    return RequestHead(b"GET", b"/", b"HTTP/1.1", headers, length=0, expects_continue=False)


def test_only_a_websocket_is_asked_for() -> None:
    assert asks_for_websocket(head_with(b"WebSocket"))
    for upgrades in ([], [b"h2c"], [b"h2c, websocket"], [b"h2c", b"websocket"]):
        assert not asks_for_websocket(head_with(*upgrades))


def test_each_subprotocol_is_offered_once_in_the_clients_order() -> None:
    scope = scope_of(sec_websocket_protocol="b, a ,b,, a")
    scope["headers"].append((b"sec-websocket-protocol", b"c,b"))

    assert offered_subprotocols(scope) == [b"b", b"a", b"c"]
