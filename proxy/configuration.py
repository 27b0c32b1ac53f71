"""The providers that this process works with: read once, and again when the server is told to."""

from django.conf import settings

from proxy.providers import Providers, load_providers, read_schema

_providers: Providers | None = None


def configured_providers() -> Providers:
    """What the file said when it was read last; the first call reads it. Raises InvalidProvidersError."""
    return read_providers() if _providers is None else _providers


def read_providers() -> Providers:
    """What the file says now. Raises InvalidProvidersError; then what was read before stays."""
    global _providers
    _providers = load_providers(settings.PROVIDERS_FILE)
    return _providers


def provider_names() -> tuple[str, ...]:
    """Those that projects may name: of the file as it is now. Raises InvalidProvidersError."""
    return tuple(read_schema(settings.PROVIDERS_FILE).providers)
