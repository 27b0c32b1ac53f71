"""System checks of who reaches the proxy, by which names, and through which fronts."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, register

from llm_proxy_site.checks import TAG

THIS_MACHINE = {"localhost", "127.0.0.1", "[::1]"}


@register(TAG, deploy=True)
def check_transport(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    if settings.SECURE_COOKIES or set(settings.ALLOWED_HOSTS) <= THIS_MACHINE:
        return []
    return [
        checks.Warning(
            "The admin site is reached under other names than this machine's, and its cookies without TLS.",
            hint="Put a front with TLS before it, and set USE_X_FORWARDED_PROTO=true.",
            id="llm_proxy.W050",
        )
    ]


@register(TAG, deploy=True)
def check_trusted_proxies(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    if not settings.USE_X_FORWARDED_PROTO or settings.TRUSTED_PROXY_COUNT:
        return []
    return [
        checks.Warning(
            "There is a front (USE_X_FORWARDED_PROTO), and its address is taken for each client's: all "
            "share what an address may do, and the audit trail cannot tell them apart.",
            hint="Set TRUSTED_PROXY_COUNT to the number of fronts that each client passes, such as 1.",
            id="llm_proxy.W051",
        )
    ]


@register(TAG, deploy=True)
def check_hosts(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    if "*" not in settings.ALLOWED_HOSTS:
        return []
    return [
        checks.Warning(
            "The admin site answers under every name (ALLOWED_HOSTS=*), whatever a request calls it.",
            hint="Set ALLOWED_HOSTS to the names by which people reach it. `/v1` answers under any.",
            id="llm_proxy.W052",
        )
    ]


@register(TAG, deploy=True)
def check_metrics_networks(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    if settings.METRICS_TOKEN or all(network.prefixlen for network in settings.METRICS_NETWORKS):
        return []
    return [
        checks.Warning(
            "METRICS_NETWORKS holds everybody, and no token is asked for: all may read what projects use.",
            hint="Set it to the networks of what scrapes `/metrics`, or set METRICS_TOKEN.",
            id="llm_proxy.W053",
        )
    ]
