"""Whether there are traces."""

from importlib.util import find_spec

from django.conf import settings

from proxy.tracing.context import CONTEXT_HEADERS


def is_installed() -> bool:
    """Whether what speaks to collectors is: the extra `traces`."""
    try:
        return find_spec("opentelemetry.proto") is not None
    except ModuleNotFoundError:
        return False


def is_on() -> bool:
    return bool(settings.TRACES_ENDPOINT) and is_installed()


def own_headers() -> tuple[str, ...]:
    """Of a client's, those that are for us and end here: the context of a trace that we take part in."""
    return CONTEXT_HEADERS if is_on() else ()
