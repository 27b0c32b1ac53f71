"""The configuration of the upstream API: which endpoints exist and how each is metered.

Read once at start from PROVIDERS_FILE. A missing file, an unknown key or a doubtful value is an error there
and then: nothing falls open.
"""

import re
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import yaml

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

# One path segment that cannot become another path upstream: no dot segments, no encoded slash or backslash.
_SEGMENT = (
    r"(?!(?:%2[eE]|\.){1,2}(?:/|\Z))"
    r"(?:[A-Za-z0-9\-._~:@!$&'()*+,=]|%(?!2[fF]|5[cC]|00)[0-9A-Fa-f]{2})+"
)


class InvalidProvidersError(Exception):
    """The file cannot be used; the message says why, for an operator."""


class Endpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    path: Annotated[str, msgspec.Meta(pattern=r"^(/([a-z0-9_]+|\{[a-z_]+\}))+$")]
    methods: Annotated[tuple[Method, ...], msgspec.Meta(min_length=1)]
    usage: Literal["openai", "input", "unreported", "none"]

    @property
    def reports_usage(self) -> bool:
        """Whether answers say what a request has cost."""
        return self.usage in ("openai", "input")

    def may_cost(self, method: str) -> bool:
        """Whether a request of this method is one that upstream charges for."""
        return self.usage != "none" and method == "POST"


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    endpoints: Annotated[tuple[Endpoint, ...], msgspec.Meta(min_length=1)]


class Providers:
    """Finds the endpoint of a path."""

    def __init__(self, endpoints: tuple[Endpoint, ...]) -> None:
        self.endpoints = endpoints
        self._literal = {endpoint.path: endpoint for endpoint in endpoints if "{" not in endpoint.path}
        self._templates = [
            (_pattern(endpoint.path), endpoint) for endpoint in endpoints if "{" in endpoint.path
        ]

    def names(self) -> list[str]:
        """Every method and path that is allowed, such as `POST /chat/completions`."""
        return [f"{method} {endpoint.path}" for endpoint in self.endpoints for method in endpoint.methods]

    def find(self, path: str) -> Endpoint | None:
        """The endpoint of a raw path below /v1, such as `/chat/completions`."""
        endpoint = self._literal.get(path)
        if endpoint is not None:
            return endpoint
        for pattern, endpoint in self._templates:
            if pattern.fullmatch(path):
                return endpoint
        return None


def load_providers(file: Path) -> Providers:
    """Raises InvalidProvidersError."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        endpoints = msgspec.convert(content, _File).endpoints
    except OSError as problem:
        raise InvalidProvidersError(f"{file} cannot be read: {problem.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        raise InvalidProvidersError(f"{file} is not YAML: {problem}") from None
    except msgspec.ValidationError as problem:
        raise InvalidProvidersError(f"{file}: {problem}") from None
    _refuse_duplicates(file, endpoints)
    return Providers(endpoints)


def _refuse_duplicates(file: Path, endpoints: tuple[Endpoint, ...]) -> None:
    seen: set[str] = set()
    for endpoint in endpoints:
        shape = re.sub(r"\{[a-z_]+\}", "{}", endpoint.path)
        if shape in seen:
            raise InvalidProvidersError(f"{file}: {endpoint.path} is listed twice")
        seen.add(shape)


def _pattern(template: str) -> re.Pattern[str]:
    parts = [_SEGMENT if part.startswith("{") else re.escape(part) for part in template.split("/")]
    return re.compile("/".join(parts), re.ASCII)
