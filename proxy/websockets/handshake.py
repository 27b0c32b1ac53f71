"""What a client asks for when it opens a WebSocket. Its access token may stand in a subprotocol, for browsers
can set no header: it is read from there, and never echoed, passed on or logged.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from proxy.errors import BadRequest
from proxy.headers import OPENAI, UpstreamHeaders, to_upstream
from proxy.request import ProxyRequest, bearer
from proxy.types import Headers, Scope
from tokens.format import PREFIX

TOKEN_PROTOCOL = "openai-insecure-api-key."  # noqa: S105 (a prefix, not a secret)
REALTIME_PROTOCOL = "realtime"
REALTIME_PATH = "/realtime"
_NOT_TO_UPSTREAM = (TOKEN_PROTOCOL, "openai-organization.", "openai-project.")
"""What these begin would choose who pays."""
_OF_THE_HANDSHAKE = b"sec-websocket-"
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""RFC 9110 section 5.6.2."""


@dataclass(frozen=True, slots=True)
class Handshake:
    request: ProxyRequest
    token: str = field(repr=False)
    """Empty if there is none."""
    subprotocols: tuple[str, ...]
    """Those that may be passed on and selected."""
    model: str
    """That the query names; empty if it names none."""
    joins: bool
    """Whether it joins a conversation that has begun elsewhere."""
    only_transcribes: bool = False
    """Whether the session has no model that answers."""

    @property
    def is_realtime(self) -> bool:
        """Whether it opens a session, which has a model; else each turn names its own."""
        return self.request.path == REALTIME_PATH

    @classmethod
    def from_scope(cls, scope: Scope) -> "Handshake":
        """Raises ProxyError."""
        offered = [name for name in scope.get("subprotocols") or [] if name]
        if not all(_TOKEN.fullmatch(name) for name in offered):
            raise BadRequest("The name of a subprotocol is none.")
        request = ProxyRequest.from_scope({**scope, "method": "GET"})
        query = parse_qsl(request.query.decode("latin-1"), keep_blank_values=True)
        models = [value for name, value in query if name == "model"]
        if len(models) > 1:
            raise BadRequest("The query names more than one model.", param="model")
        return cls(
            request=request,
            token=bearer(request.headers) or _token_in(offered),
            subprotocols=tuple(name for name in offered if not _is_credential(name)),
            model=models[0] if models else "",
            joins=any(name == "call_id" for name, _ in query),
            only_transcribes=("intent", "transcription") in query,
        )

    def selected(self, by_upstream: str | None) -> str | None:
        """The subprotocol that the client is told: browsers hang up if none of theirs is selected."""
        if by_upstream in self.subprotocols:
            return by_upstream
        return REALTIME_PROTOCOL if REALTIME_PROTOCOL in self.subprotocols else None

    def headers_to_upstream(
        self,
        upstream_key: str,
        rules: UpstreamHeaders = OPENAI,
        projects: tuple[tuple[bytes, bytes], ...] = (),
    ) -> Headers:
        """Without those of the handshake itself, which are ours."""
        return [
            header
            for header in to_upstream(self.request.headers, upstream_key, rules, projects)
            if not header[0].startswith(_OF_THE_HANDSHAKE) and header[0] != b"content-length"
        ]


def _is_credential(subprotocol: str) -> bool:
    """Whether it names who pays, or holds an access token, however it is spelt."""
    name = subprotocol.lower()
    return name.startswith(_NOT_TO_UPSTREAM) or PREFIX in name


def _token_in(subprotocols: list[str]) -> str:
    found = (name for name in subprotocols if name.lower().startswith(TOKEN_PROTOCOL))
    return next(found, "")[len(TOKEN_PROTOCOL) :]
