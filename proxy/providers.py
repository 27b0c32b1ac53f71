"""The configuration of the upstream APIs: where each is, and which endpoints it has.

Read once at start from PROVIDERS_FILE. A missing file, an unknown key or a doubtful value is an error there
and then: nothing falls open.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import yaml

from proxy.endpoints import Endpoint, Endpoints, Method

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_-]*$")]


class InvalidProvidersError(Exception):
    """The file cannot be used; the message says why, for an operator."""


@dataclass(frozen=True, slots=True)
class Provider:
    """One upstream API."""

    name: str
    base_url: str | None
    """None: UPSTREAM_BASE_URL."""
    endpoints: Endpoints


class Providers:
    def __init__(self, providers: dict[str, Provider]) -> None:
        self._providers = providers

    def get(self, name: str) -> Provider | None:
        return self._providers.get(name)

    @property
    def default(self) -> Provider:
        """The one that is named first."""
        return next(iter(self._providers.values()))


class _EndpointEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    path: Annotated[str, msgspec.Meta(pattern=r"^(/([a-z0-9_]+|\{[a-z_]+\}))+$")]
    methods: Annotated[tuple[Method, ...], msgspec.Meta(min_length=1)] = ()
    websocket: bool = False
    usage: Literal["openai", "input", "unreported", "none"] | None = None
    leads_past_us: bool = False

    def __post_init__(self) -> None:
        if not self.methods and not self.websocket:
            raise ValueError(f"{self.path} has no methods")
        if self.usage is None and ("POST" in self.methods or self.websocket):
            raise ValueError(f"{self.path} has POST or WebSockets, so it must say what its usage is")


class _ProviderEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    base_url: str | None = None
    families: tuple[str, ...] | None = None


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    providers: Annotated[dict[Name, _ProviderEntry], msgspec.Meta(min_length=1)]
    families: Annotated[dict[Name, tuple[_EndpointEntry, ...]], msgspec.Meta(min_length=1)]


def load_providers(file: Path) -> Providers:
    """Raises InvalidProvidersError."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        entries = msgspec.convert(content, _File)
    except OSError as problem:
        raise InvalidProvidersError(f"{file} cannot be read: {problem.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        raise InvalidProvidersError(f"{file} is not YAML: {problem}") from None
    except msgspec.ValidationError as problem:
        raise InvalidProvidersError(f"{file}: {problem}") from None
    return Providers(
        {name: _provider(file, name, entry, entries) for name, entry in entries.providers.items()}
    )


def _provider(file: Path, name: str, entry: _ProviderEntry, entries: _File) -> Provider:
    families = entries.families if entry.families is None else entry.families
    endpoints = []
    for family in families:
        if family not in entries.families:
            raise InvalidProvidersError(f"{file}: {name} names the family {family}, which does not exist")
        endpoints += [_endpoint(family, endpoint) for endpoint in entries.families[family]]
    _refuse_duplicates(file, endpoints)
    return Provider(name=name, base_url=entry.base_url, endpoints=Endpoints(tuple(endpoints)))


def _endpoint(family: str, entry: _EndpointEntry) -> Endpoint:
    return Endpoint(
        path=entry.path,
        methods=entry.methods,
        usage=entry.usage or "none",
        leads_past_us=entry.leads_past_us,
        family=family,
        websocket=entry.websocket,
    )


def _refuse_duplicates(file: Path, endpoints: list[Endpoint]) -> None:
    seen: set[str] = set()
    for endpoint in endpoints:
        if endpoint.shape in seen:
            raise InvalidProvidersError(f"{file}: {endpoint.path} is listed twice")
        seen.add(endpoint.shape)
