"""`GET /metrics`, for those whom the settings name: to all others there is no such page."""

import hmac

from django.conf import settings

from proxy.client_address import client_address
from proxy.headers import first
from proxy.metrics.exposition import CONTENT_TYPE
from proxy.request import bearer
from proxy.runtime import Runtime
from proxy.types import Receive, Scope, Send

PATH = "/metrics"
FORWARDED = (b"x-forwarded-for", b"forwarded", b"x-real-ip", b"via")
"""By which a front says that it has passed something on."""


def may_read(scope: Scope) -> bool:
    """What is set must hold: token, network, or both. Where nothing is set, nobody may."""
    if Runtime.current().metrics is None or scope["method"] not in ("GET", "HEAD"):
        return False
    return _comes_from_network(scope) and _has_token(scope)


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    metrics = Runtime.current().metrics
    assert metrics is not None
    body = await metrics.text()
    headers = [
        (b"content-type", CONTENT_TYPE),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body if scope["method"] == "GET" else b""})


def _has_token(scope: Scope) -> bool:
    sent = bearer(scope["headers"]).encode("latin-1")
    return not settings.METRICS_TOKEN or hmac.compare_digest(sent, settings.METRICS_TOKEN.encode())


def _comes_from_network(scope: Scope) -> bool:
    """By the connection itself. What a front has passed on comes from anywhere, whatever the front's address
    is.
    """
    if not settings.METRICS_NETWORKS:
        return True
    if any(first(scope["headers"], name) is not None for name in FORWARDED):
        return False
    address = client_address(scope, trusted_proxies=0)
    return address is not None and any(address in network for network in settings.METRICS_NETWORKS)
