"""Which paths there are below /v1, and what is known of each."""

import re
from typing import Literal

import msgspec

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

# One path segment that cannot become another path upstream: no dot segments, no encoded slash or backslash.
_SEGMENT = (
    r"(?!(?:%2[eE]|\.){1,2}(?:/|\Z))"
    r"(?:[A-Za-z0-9\-._~:@!$&'()*+,=]|%(?!2[fF]|5[cC]|00)[0-9A-Fa-f]{2})+"
)


class Endpoint(msgspec.Struct, frozen=True):
    """One path of a family, with what the configuration says of it."""

    path: str
    methods: tuple[Method, ...]
    usage: Literal["openai", "input", "unreported", "none"] = "none"
    leads_past_us: bool = False
    """Whether its answer lets the client talk to upstream without this proxy."""
    family: str = ""
    websocket: bool = False
    """Whether it speaks WebSocket, besides what its methods are."""

    @property
    def reports_usage(self) -> bool:
        """Whether answers say what a request has cost."""
        return self.usage in ("openai", "input")

    def may_cost(self, method: str) -> bool:
        """Whether a request of this method is one that upstream charges for."""
        return self.usage != "none" and method == "POST"

    @property
    def shape(self) -> str:
        """The path without the names of its variables: two of one shape could not be told apart."""
        return re.sub(r"\{[a-z_]+\}", "{}", self.path)


class Endpoints:
    """Finds the endpoint of a path."""

    def __init__(self, endpoints: tuple[Endpoint, ...]) -> None:
        self._all = endpoints
        self._literal = {endpoint.path: endpoint for endpoint in endpoints if "{" not in endpoint.path}
        self._templates = [
            (_pattern(endpoint.path), endpoint) for endpoint in endpoints if "{" in endpoint.path
        ]

    def names(self) -> list[str]:
        """Every method and path that is allowed: `POST /chat/completions`, `WEBSOCKET /realtime`."""
        return [
            f"{method} {endpoint.path}"
            for endpoint in self._all
            for method in (*endpoint.methods, *(("WEBSOCKET",) if endpoint.websocket else ()))
        ]

    def find(self, path: str) -> Endpoint | None:
        """The endpoint of a raw path below /v1, such as `/chat/completions`."""
        endpoint = self._literal.get(path)
        if endpoint is not None:
            return endpoint
        for pattern, endpoint in self._templates:
            if pattern.fullmatch(path):
                return endpoint
        return None


def _pattern(template: str) -> re.Pattern[str]:
    parts = [_SEGMENT if part.startswith("{") else re.escape(part) for part in template.split("/")]
    return re.compile("/".join(parts), re.ASCII)
