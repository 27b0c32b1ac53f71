"""System checks: what keeps traces from coming where they are wanted. Warnings, all of them: requests are
answered without traces too, and the variables may be meant for others.
"""

import ssl
from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, register

from llm_proxy_site.checks import TAG
from proxy.tracing import configuration


@register(TAG)
def check_traces(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    if not settings.TRACES_ENDPOINT:
        return []
    warnings = {
        "llm_proxy.W030": (
            not configuration.is_installed(),
            "There is an endpoint for traces, and nothing to speak to it with: there are no traces.",
            "Install the extra: `make traces`, or `pip install -r requirements-traces.txt`.",
        ),
        "llm_proxy.W031": (
            settings.TRACES_PROTOCOL != "http/protobuf",
            "OTEL_EXPORTER_OTLP_PROTOCOL is not http/protobuf, which is spoken all the same.",
            "Give the endpoint of the collector's HTTP receiver, whose port is 4318 as a rule.",
        ),
        "llm_proxy.W032": (
            not _has_certificates(settings.TRACES_CA_FILE),
            "OTEL_EXPORTER_OTLP_CERTIFICATE: no certificates can be read there, and no trace is sent.",
            "Give a file of PEM certificates: of the authority that the collector's is of.",
        ),
    }
    return [
        checks.Warning(problem, hint=hint, id=check_id)
        for check_id, (is_so, problem, hint) in warnings.items()
        if is_so
    ]


def _has_certificates(file: str) -> bool:
    """Or none is named."""
    try:
        return not file or bool(ssl.create_default_context(cafile=file))
    except OSError:  # SSLError is one
        return False
