"""What browsers have to be told before their pages may use an access token (https://fetch.spec.whatwg.org/#http-cors-protocol).

Only origins that rules list are told anything. Never a wildcard, never credentials: a token is no cookie.
"""

import re

from projects.ruleset import Ruleset
from proxy.client import Client
from proxy.errors import EndpointNotFound, Forbidden, ProxyError
from proxy.headers import first
from proxy.types import Headers, Receive, Scope, Send

PREFLIGHT_SECONDS = 600
"""How long a browser may remember the answer to a preflight. A rule that is taken away holds at once."""
MAX_ASKED_BYTES = 4096
_NAMES = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z, \t-]*")
_PREFLIGHT_VARY = b"origin, access-control-request-method, access-control-request-headers"


def is_preflight(scope: Scope) -> bool:
    headers = scope["headers"]
    return (
        scope["method"] == "OPTIONS"
        and first(headers, b"origin") is not None
        and first(headers, b"access-control-request-method") is not None
    )


async def answer_preflight(
    scope: Scope, receive: Receive, send: Send, *, methods: tuple[str, ...] | None, is_allowed: bool
) -> None:
    """`methods`: of the endpoint, None if there is none. A preflight brings no token, so an origin is allowed
    if it is for any token.
    """
    client = Client(receive, send, max_body_bytes=0)
    headers: Headers = scope["headers"]
    origin = first(headers, b"origin") or b""
    if not is_allowed:
        error: ProxyError = Forbidden(
            "origin_not_allowed", "No access token may be used by pages of this origin."
        )
        await client.refuse(error, (b"vary", _PREFLIGHT_VARY))
        return
    if methods is None:
        client.rewrite = Allowance(origin)
        await client.refuse(EndpointNotFound())
        return
    asked = first(headers, b"access-control-request-headers") or b""
    answer = [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-methods", ", ".join(methods).encode()),
        (b"access-control-max-age", b"%d" % PREFLIGHT_SECONDS),
        (b"vary", _PREFLIGHT_VARY),
        (b"content-length", b"0"),
    ]
    if asked and len(asked) <= MAX_ASKED_BYTES and _NAMES.fullmatch(asked):
        answer.append((b"access-control-allow-headers", asked))
    await client.start(204, answer)
    await client.end()


class Allowance:
    """Changes the headers of each answer to pages of this origin; None: to what comes from no page."""

    def __init__(self, origin: bytes | None) -> None:
        self._origin = origin

    def __call__(self, headers: Headers) -> Headers:
        """Upstream's word about who may read its answer does not pass."""
        kept = [header for header in headers if not header[0].startswith(b"access-control-")]
        if self._origin is not None:
            names = dict.fromkeys(name for name, _ in kept)
            kept.append((b"access-control-allow-origin", self._origin))
            kept.append((b"access-control-expose-headers", b", ".join(names)))
        kept.append((b"vary", b"origin"))
        return kept


def allowance(rules: Ruleset | None, headers: Headers) -> Allowance | None:
    """For a token with these rules; None where they say nothing of origins."""
    if rules is None or not rules.origins:
        return None
    origin = first(headers, b"origin")
    is_listed = origin is not None and all(origin in allowed.origins for allowed in rules.origins)
    return Allowance(origin if is_listed else None)
