"""Which paths there are below /v1, and what is known of each."""

import re
import sys
from collections.abc import Callable
from typing import Literal

import msgspec

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
BODY_METHODS = ("POST", "PUT", "PATCH")
SOCKET = "WEBSOCKET"
"""What stands in the place of a method where a WebSocket is opened."""

# One path segment that cannot become another path upstream: no dot segments, no encoded slash or backslash.
_SEGMENT = (
    r"(?!(?:%2[eE]|\.){1,2}(?:/|\Z))"
    r"(?:[A-Za-z0-9\-._~:@!$&'()*+,=]|%(?!2[fF]|5[cC]|00)[0-9A-Fa-f]{2})+"
)


class Endpoint(msgspec.Struct, frozen=True):
    """One path of a family, with what the configuration says of it."""

    path: str
    methods: tuple[Method, ...]
    usage: Literal["openai", "input", "speech", "unreported", "none"] = "none"
    leads_past_us: bool = False
    """Whether its answer lets the client talk to upstream without this proxy."""
    model: Literal["named", "none", "elsewhere"] = "named"
    """Where a request names the models that it uses: where they are looked for; there are none; where nobody
    looks, or where they are kept upstream.
    """
    takes_files: bool = False
    """Whether its forms are files, which stream."""
    family: str = ""
    websocket: bool = False
    """Whether it speaks WebSocket, besides what its methods are."""
    background: bool = False
    """Whether its answers are about work that goes on upstream by itself: it is charged as it is found
    finished.
    """
    asks_usage: bool = False
    """Whether upstream is asked for a stream's usage (`stream_options`) where the client did not."""
    max_request_bytes: int = sys.maxsize
    """Of its requests' bodies."""
    timeout: dict[str, float] = {}
    """For its requests, in seconds: `connect`, `first_byte` and `read` as the transport takes them, and
    `total`, where 0 is for ever.
    """

    @property
    def is_metered(self) -> bool:
        """Whether what a request has used is reported, or can be estimated."""
        return self.usage in ("openai", "input", "speech")

    def hides_model(self, method: str) -> bool:
        """Whether nobody here can see which models a request of this method uses."""
        return self.model == "elsewhere" and method in BODY_METHODS

    def may_cost(self, method: str) -> bool:
        """Whether a request of this method is one that upstream charges for."""
        return self.usage != "none" and method == "POST"


class Endpoints:
    """Finds the endpoint of a path: a literal one goes before a template, and that before a catch-all."""

    def __init__(self, endpoints: tuple[Endpoint, ...]) -> None:
        self._all = endpoints
        self._literal = {endpoint.path: endpoint for endpoint in endpoints if "{" not in endpoint.path}
        patterns = [
            (_pattern(endpoint.path), endpoint)
            for endpoint in sorted(endpoints, key=lambda endpoint: _rank(endpoint.path))
            if "{" in endpoint.path
        ]
        self._by_first = {
            first: [pair for pair in patterns if _first(pair[1].path) in (first, "")]
            for first in {_first(endpoint.path) for _, endpoint in patterns} | {""}
        }
        """The patterns that may fit a path, by its first segment; those that may fit any, by none."""

    def names(self, is_allowed: Callable[[Endpoint, str], bool] = lambda endpoint, method: True) -> list[str]:
        """Every method and path that is allowed: `POST /chat/completions`, `WEBSOCKET /realtime`."""
        return [
            f"{method} {endpoint.path}"
            for endpoint in self._all
            for method in (*endpoint.methods, *((SOCKET,) if endpoint.websocket else ()))
            if is_allowed(endpoint, method)
        ]

    def of_path(self, path: str) -> Endpoint | None:
        """By its own path, such as `/files/{id}`."""
        return next((endpoint for endpoint in self._all if endpoint.path == path), None)

    def find(self, path: str) -> Endpoint | None:
        """The endpoint of a raw path below /v1, such as `/chat/completions`."""
        endpoint = self._literal.get(path)
        if endpoint is not None:
            return endpoint
        patterns = self._by_first.get(path[1:].partition("/")[0])
        for pattern, endpoint in self._by_first[""] if patterns is None else patterns:
            if pattern.fullmatch(path):
                return endpoint
        return None

    def __len__(self) -> int:
        return len(self._all)


def shape(path: str) -> str:
    """The path without the names of its variables: two of one shape could not be told apart."""
    return re.sub(r"[a-z_]+(\*?\})", r"\1", path)


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile("/".join(map(_segment_pattern, template.split("/"))), re.ASCII)


def _segment_pattern(segment: str) -> str:
    if segment.endswith("*}"):
        return f"{_SEGMENT}(?:/{_SEGMENT})*"
    return _SEGMENT if segment.startswith("{") else re.escape(segment)


def _rank(template: str) -> tuple[bool, list[int]]:
    """The less a template leaves open, and the later, the earlier it is tried."""
    segments = template.split("/")
    return "*" in template, [2 if part.endswith("*}") else int(part.startswith("{")) for part in segments]


def _first(template: str) -> str:
    """Its first segment; none if that is a variable."""
    first = template[1:].partition("/")[0]
    return "" if first.startswith("{") else first
