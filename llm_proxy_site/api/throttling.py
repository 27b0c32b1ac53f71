"""How often the management API may be asked: by each key, and by each address that guesses at keys. It is
counted where attempts to sign in are: in Redis, or in this process where there is no other.
"""

from typing import Any

import structlog
from django.conf import settings
from django.http import HttpRequest
from django_ratelimit.core import get_usage
from redis import RedisError

from llm_proxy_site.api.errors import RateLimitReached
from llm_proxy_site.people.requests import address_of
from proxy.client_address import network_of

MAX_GUESSES = 20
"""In a minute, with a key that is none, from one address."""

log = structlog.get_logger("server")


def count_request(request: HttpRequest, caller_id: str) -> None:
    """Raises RateLimitReached."""
    most = settings.MANAGEMENT_REQUESTS_PER_MINUTE
    usage = _usage(request, "management", caller_id, most, increment=True)
    if usage is not None and usage["count"] > most:
        raise _refusal(usage)


def check_guesses(request: HttpRequest) -> None:
    """Before a key is looked up. Raises RateLimitReached."""
    usage = _guesses(request, increment=False)
    if usage is not None and usage["count"] >= MAX_GUESSES:
        raise _refusal(usage)


def count_guess(request: HttpRequest) -> None:
    _guesses(request, increment=True)


def _guesses(request: HttpRequest, *, increment: bool) -> dict[str, Any] | None:
    address = network_of(address_of(request))
    return _usage(request, "management-guesses", address, MAX_GUESSES, increment=increment)


def _usage(
    request: HttpRequest, group: str, who: str, most: int, *, increment: bool
) -> dict[str, Any] | None:
    """None: it cannot be counted. Who mends an outage needs the API, and keys are not guessed meanwhile."""
    try:
        usage: dict[str, Any] | None = get_usage(
            request, group, key=lambda group, request: who, rate=(most, 60), increment=increment
        )
    except (RedisError, OSError) as problem:
        log.warning("requests of the management API cannot be counted", error=str(problem))
        return None
    return usage


def _refusal(usage: dict[str, Any]) -> RateLimitReached:
    seconds = max(1, usage["time_left"])
    return RateLimitReached(
        "requests", f"Too many requests. Try again in {seconds} s.", retry_after_ms=seconds * 1000
    )
