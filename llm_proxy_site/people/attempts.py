"""How often one may try to sign in: from an address, and under a name, right or wrong.

Counted by django-ratelimit in the default cache: in Redis, or, where there is none, in this process's memory,
for there is only this process then (llm_proxy.E020).
"""

from typing import Any

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django_ratelimit.core import get_usage

from llm_proxy_site.people.requests import address_of
from proxy.client_address import network_of

log = structlog.get_logger("server")


def seconds_to_wait(request: HttpRequest, name: str | None = None) -> int:
    """Count this attempt; 0 if it may go on. Each address and each name has its own count. No name: they tell
    it elsewhere.
    """
    bounds = {f"address:{network_of(address_of(request))}": settings.SIGN_IN_MAX_PER_ADDRESS}
    if name is not None:
        bounds[f"name:{name.casefold()[:150]}"] = settings.SIGN_IN_MAX_PER_NAME
    return max(_wait(request, who, bound) for who, bound in bounds.items())


def too_many(request: HttpRequest, wait: int, context: dict[str, Any]) -> HttpResponse:
    """`context`: of the site. Not in the audit trail, which could be flooded so: what led to it is there."""
    log.warning("too many attempts to sign in", address=address_of(request))
    page = {**context, "title": "Too many attempts", "minutes": -(-wait // 60)}
    headers = {"Retry-After": str(wait), "Cache-Control": "no-store"}
    return TemplateResponse(request, "admin/too_many_attempts.html", page, status=429, headers=headers)


def _wait(request: HttpRequest, who: str, bound: int) -> int:
    from redis import RedisError  # late: commands load the admin site, and need not load a Redis client

    window = int(settings.SIGN_IN_WINDOW.total_seconds())
    try:
        usage = get_usage(
            request, group="sign-in", key=lambda group, request: who, rate=(bound, window), increment=True
        )
    except (RedisError, OSError) as problem:
        # Who watches an outage must be able to sign in, and nobody from outside can make one.
        log.warning("attempts to sign in cannot be counted", error=str(problem))
        return 0
    return max(1, usage["time_left"]) if usage and usage["should_limit"] else 0
