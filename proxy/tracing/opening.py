"""Makes what makes traces."""

import os

from django.conf import settings

from llm_proxy_site.version import __version__
from proxy.tracing import configuration
from proxy.tracing.exporter import Exporter
from proxy.tracing.sampler import Sampler
from proxy.tracing.tracer import Tracer


def open_tracer() -> Tracer | None:
    """None: there is no collector, or nothing to speak to it with."""
    if not configuration.is_on():
        return None
    exporter = Exporter(
        settings.TRACES_ENDPOINT,
        settings.TRACES_SECRET_HEADERS,
        resource={
            "service.version": __version__,
            "process.pid": os.getpid(),
            **settings.TRACES_RESOURCE,
            "service.name": settings.TRACES_SERVICE_NAME,
        },
        ca_file=settings.TRACES_CA_FILE,
    )
    sampler = Sampler(settings.TRACES_SAMPLER, settings.TRACES_SAMPLER_RATIO)
    return Tracer(exporter, sampler, tells_upstream=settings.TRACE_CONTEXT_UPSTREAM)
