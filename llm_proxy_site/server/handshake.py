"""What a client must send to open a WebSocket (RFC 6455 section 4.2.1): for all servers alike."""

import base64
import binascii

from llm_proxy_site.server.connection import listed
from llm_proxy_site.server.request_head import RequestHead
from proxy.types import Scope

VERSION = b"13"
_KEY_BYTES = 16


def asks_for_websocket(head: RequestHead) -> bool:
    """Any other protocol is declined: the request is answered in HTTP/1.1."""
    upgrades = head.values(b"upgrade")
    return bool(upgrades) and upgrades[0].lower() == b"websocket"


def upgrade_problem(scope: Scope, *, has_body: bool) -> str:
    """What a handshake with this method, HTTP version and headers lacks; empty if nothing."""
    keys = [value for name, value in scope["headers"] if name == b"sec-websocket-key"]
    if has_body:
        return "A handshake has no body."
    if scope["method"] != "GET" or scope["http_version"] != "1.1":
        return "A handshake is a GET of HTTP/1.1."
    if b"upgrade" not in [option.lower() for option in listed(scope, b"connection")]:
        return "A handshake has the option Upgrade in Connection."
    if listed(scope, b"sec-websocket-version") != [VERSION]:
        return f"The only version of WebSocket is {VERSION.decode()}."
    if len(keys) != 1 or not _is_key(keys[0]):
        return "A handshake has one Sec-WebSocket-Key, of 16 bytes in base64."
    return ""


def offered_subprotocols(scope: Scope) -> list[bytes]:
    """Each once, in the client's order."""
    return list(dict.fromkeys(listed(scope, b"sec-websocket-protocol")))


def _is_key(value: bytes) -> bool:
    try:
        return len(base64.b64decode(value, validate=True)) == _KEY_BYTES
    except binascii.Error:
        return False
