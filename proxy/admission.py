"""Who is asking, and within which limits: from the request's bearer token to its grant and its lease."""

import time

from projects.money import usd_text
from proxy import policy
from proxy.errors import (
    AuthenticationError,
    ProviderNotConfigured,
    ProxyError,
    QuotaReached,
    RateLimitReached,
    ServiceUnavailable,
    UpstreamKeyUnavailable,
)
from proxy.limit_headers import duration_text, rate_headers
from proxy.providers import Provider, Providers
from proxy.upstreams import Upstreams
from tokens.directory import Directory, DirectoryUnavailableError, Through, UnknownTokenError
from tokens.grant import Grant
from tokens.limits.values import (
    Estimate,
    Kind,
    Lease,
    LimitName,
    LimitReachedError,
    LimitStore,
    LimitsUnavailableError,
    Subject,
)
from usage.entry import UsageEntry

_OWNERS = {Kind.TOKEN: "this access token", Kind.PROJECT: "the project of this access token"}
_RATES = {
    LimitName.REQUESTS_PER_MINUTE: ("requests", "requests per minute"),
    LimitName.MODEL_TOKENS_PER_MINUTE: ("tokens", "model tokens per minute"),
}


async def identify(directory: Directory, plain: str, through: Through | None = None) -> Grant:
    """The grant of this token, usable or not; `through` as `lookup` has it. Raises ProxyError."""
    try:
        return await directory.lookup(plain, through)
    except UnknownTokenError:
        raise AuthenticationError from None
    except DirectoryUnavailableError:
        raise ServiceUnavailable from None


def provider_of(providers: Providers, grant: Grant) -> Provider:
    """Where the requests of this grant go. Raises ProviderNotConfigured."""
    provider = providers.get(grant.provider)
    if provider is None:
        raise ProviderNotConfigured
    return provider


def check_upstream(upstreams: Upstreams, grant: Grant, provider: Provider) -> None:
    """Whether upstream may be asked now: a request that it would fail uses up no limit. Raises ProxyError."""
    if grant.upstream_keys:
        upstreams.check(grant.base_url or provider.base_url, grant.upstream_keys)


async def acquire(limits: LimitStore, grant: Grant, entry: UsageEntry, estimate: Estimate) -> Lease:
    """Take the request's share of its limits, last of all checks. Raises ProxyError; the entry then has the
    name of the limit.
    """
    policy.check_alive(grant, time.time())
    if not grant.upstream_keys:
        raise UpstreamKeyUnavailable
    try:
        return await limits.acquire(entry.id, grant.subjects, estimate)
    except LimitReachedError as reached:
        entry.limit_reached = reached.name
        raise _named(reached) from None
    except LimitsUnavailableError:
        raise ServiceUnavailable from None


def budget_used_up(lease: Lease) -> QuotaReached:
    """For a request that is cut while it runs."""
    return budget_spent(lease.subjects)


def budget_spent(subjects: tuple[Subject, ...]) -> QuotaReached:
    owners = " or ".join(_OWNERS[subject.kind] for subject in subjects if subject.limits.has_budget)
    return QuotaReached(
        "budget_exceeded", f"The budget of {owners} is used up.", retry_after_ms=None, is_reserved=False
    )


def _named(reached: LimitReachedError) -> ProxyError:
    owner = _OWNERS[reached.kind]
    match reached.name:
        case LimitName.REQUESTS:
            return QuotaReached(
                "request_limit_reached",
                f"All requests that {owner} may make have been made: {reached.limit}.",
                retry_after_ms=None,
                is_reserved=False,
            )
        case LimitName.BUDGET:
            return QuotaReached(
                "budget_exceeded",
                _budget_message(reached, owner),
                retry_after_ms=reached.retry_after_ms,
                is_reserved=reached.is_reserved,
            )
        case LimitName.CONCURRENT_REQUESTS:
            return RateLimitReached(
                "requests",
                f"The limit of {owner} is {reached.limit} concurrent requests, and so many are running.",
                retry_after_ms=reached.retry_after_ms,
            )
        case _:
            return _rate_limit(reached, owner)


def _rate_limit(reached: LimitReachedError, owner: str) -> RateLimitReached:
    what, unit = _RATES[reached.name]
    if reached.retry_after_ms is None:
        message = (
            f"This request may use up to {reached.needed} model tokens, and the limit of {owner} is "
            f"{reached.limit} {unit}. Lower its maximum of output tokens."
        )
        return RateLimitReached(what, message, retry_after_ms=None)
    return RateLimitReached(
        what,
        f"The rate limit of {owner} is reached: {reached.limit} {unit}. "
        f"Try again in {duration_text(reached.retry_after_ms)}.",
        retry_after_ms=reached.retry_after_ms,
        limit_headers=rate_headers(what.encode(), reached.limit, reached.left, reached.retry_after_ms),
    )


def _budget_message(reached: LimitReachedError, owner: str) -> str:
    budget = f"{reached.window} budget of {owner}"
    if reached.left <= 0 and not reached.is_reserved:
        return f"The {budget} is used up: {usd_text(reached.limit)} USD."
    message = (
        f"This request may cost up to {usd_text(reached.needed)} USD, and "
        f"{usd_text(reached.left)} USD are left of the {budget}."
    )
    if reached.is_reserved:
        return f"{message} Running requests have reserved the rest: try again when they have ended."
    return f"{message} Lower its maximum of output tokens."
