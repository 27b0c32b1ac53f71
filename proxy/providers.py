"""The configuration of the upstream APIs: where each is, what it wants, and which endpoints it has.

Read from PROVIDERS_FILE at start, and again when the server is told to. Everything is worked out then, so
that a request only looks it up. A missing file, an unknown key or a doubtful value is an error: nothing falls
open.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import structlog
from django.conf import settings

from proxy.endpoints import Endpoint, Endpoints, Method
from proxy.headers import UpstreamHeaders, upstream_headers
from proxy.located_yaml import InvalidYAMLError, LocatedYAML
from proxy.providers_schema import EndpointEntry, ProviderEntry, Schema
from proxy.tracing.configuration import own_headers

log = structlog.get_logger("proxy")


class InvalidProvidersError(ValueError):
    """The file cannot be used; each problem says why, for an operator, and in which line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Provider:
    """One upstream API."""

    name: str
    base_url: str
    """Where a project's requests go that names no base URL of its own."""
    endpoints: Endpoints
    headers: UpstreamHeaders


class Providers:
    def __init__(self, providers: dict[str, Provider]) -> None:
        self._providers = providers
        self._missed: set[str] = set()

    def get(self, name: str) -> Provider | None:
        """The provider of this name; of none: the one that is named first. The first miss is logged."""
        provider = self._providers.get(name) if name else self.default
        if provider is None and name not in self._missed:
            self._missed.add(name)
            log.error("projects name a provider that is not configured", provider=name)
        return provider

    @property
    def default(self) -> Provider:
        return next(iter(self._providers.values()))

    def methods_of(self, path: str) -> tuple[Method, ...]:
        """Those that any provider allows there: for a request that does not say whose it is."""
        found = [provider.endpoints.find(path) for provider in self._providers.values()]
        return tuple(dict.fromkeys(method for endpoint in found if endpoint for method in endpoint.methods))

    def family_of(self, path: str) -> str:
        """Of an endpoint's path, as it is configured; empty: there is none."""
        found = (provider.endpoints.of_path(path) for provider in self._providers.values())
        return next((endpoint.family for endpoint in found if endpoint is not None), "")

    @property
    def base_urls(self) -> dict[str, str]:
        """By name."""
        return {name: provider.base_url for name, provider in self._providers.items()}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._providers)


def load_providers(file: Path) -> Providers:
    """Raises InvalidProvidersError."""
    schema = read_schema(file)
    return Providers({name: _provider(name, entry, schema) for name, entry in schema.providers.items()})


def read_schema(file: Path) -> Schema:
    """What the file says, and nothing is wrong with it. Raises InvalidProvidersError."""
    try:
        schema = _schema(file.read_bytes())
        problems = schema.problems
    except OSError as problem:
        raise InvalidProvidersError([f"{file} cannot be read: {problem.strerror}"]) from None
    except InvalidYAMLError as invalid:
        problems = invalid.problems
    if problems:
        raise InvalidProvidersError([f"{file}:{problem.line}: {problem.message}" for problem in problems])
    return schema


@lru_cache(maxsize=1)
def _schema(content: bytes) -> Schema:
    """Each start asks three times, and each form of a project once: the same, as a rule."""
    return Schema(LocatedYAML.parse(content))


def _provider(name: str, entry: ProviderEntry, schema: Schema) -> Provider:
    families = schema.families if entry.families is None else entry.families
    endpoints = [
        _endpoint(family, endpoint, entry)
        for family in families
        for endpoint in schema.families[family].values()
    ]
    return Provider(
        name=name,
        base_url=(entry.base_url or settings.UPSTREAM_BASE_URL).rstrip("/"),
        endpoints=Endpoints(tuple(endpoints)),
        headers=upstream_headers(
            key_name=entry.key.header.lower(),
            key_scheme=entry.key.scheme,
            dropped=[*(header.lower() for header in entry.headers.drop), *own_headers()],
            added=[(header.lower(), value) for header, value in entry.headers.set.items()],
        ),
    )


def _endpoint(family: str, entry: EndpointEntry, provider: ProviderEntry) -> Endpoint:
    """What the endpoint says goes before what its provider says, and that before the settings."""
    max_bytes = entry.max_request_bytes or provider.max_request_bytes or settings.REQUEST_MAX_BYTES
    return Endpoint(
        path=entry.path,
        methods=entry.methods,
        usage=entry.usage or "none",
        leads_past_us=entry.leads_past_us,
        model=entry.model,
        takes_files=entry.takes_files,
        family=family,
        websocket=entry.websocket,
        asks_usage=entry.asks_usage,
        background=entry.background,
        max_request_bytes=max_bytes,
        timeout=_timeouts(entry, provider),
    )


def _timeouts(entry: EndpointEntry, provider: ProviderEntry) -> dict[str, float]:
    totals = (entry.total_timeout_seconds, provider.total_timeout_seconds)
    read_seconds = (
        entry.read_timeout_seconds or provider.read_timeout_seconds or settings.UPSTREAM_READ_TIMEOUT_SECONDS
    )
    return {
        "connect": provider.connect_timeout_seconds or settings.UPSTREAM_CONNECT_TIMEOUT_SECONDS,
        "first_byte": entry.first_byte_timeout_seconds
        or provider.first_byte_timeout_seconds
        or settings.UPSTREAM_FIRST_BYTE_TIMEOUT_SECONDS
        or read_seconds,
        "read": read_seconds,
        "total": next(
            (seconds for seconds in totals if seconds is not None), settings.UPSTREAM_TOTAL_TIMEOUT_SECONDS
        ),
    }
