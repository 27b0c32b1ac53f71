"""The holder's view of an access token: `GET /token` says what it is good for, `POST /token/renew` makes it
live longer where its project permits that. Both are asked with the token itself.
"""

import time
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
from django.core.exceptions import ObjectDoesNotExist
from django.db import Error
from django.utils import timezone

from projects.money import usd_text
from proxy import admission, policy
from proxy.client import Client
from proxy.cors import allowance
from proxy.endpoints import Endpoint
from proxy.errors import (
    AuthenticationError,
    EndpointNotFound,
    Forbidden,
    MethodNotAllowed,
    ProxyError,
    ServiceUnavailable,
)
from proxy.providers import Provider
from proxy.request import bearer
from proxy.rules import allowed_models, allows_endpoint
from proxy.ruling import judge_client
from proxy.runtime import Runtime
from proxy.types import Receive, Scope, Send
from tokens.directory import Changes
from tokens.grant import Grant
from tokens.lifecycle import (
    LifecycleError,
    RenewalLimitReachedError,
    RenewalNotPermittedError,
    renew_by_holder,
)
from tokens.limits.periods import WINDOWS, resets_at
from tokens.limits.values import Counters, LimitName, LimitsUnavailableError, Subject

MAX_BODY_BYTES = 64 * 1024
METHODS: dict[str, tuple[str, ...]] = {"/token": ("GET", "HEAD"), "/token/renew": ("POST",)}


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    runtime = Runtime.current()
    client = Client(receive, send, max_body_bytes=MAX_BODY_BYTES)
    try:
        body = msgspec.json.encode(await _facts(runtime, scope, client))
    except ProxyError as error:
        await runtime.let_pages_read(client, scope["headers"])
        await client.refuse(error)
        return
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    await client.start(200, [*headers, (b"content-length", b"%d" % len(body))])
    await client.write(b"" if scope["method"] == "HEAD" else body, is_last=True)


async def _facts(runtime: Runtime, scope: Scope, client: Client) -> dict[str, Any]:
    methods = METHODS.get(scope["path"])
    if methods is None:
        raise EndpointNotFound
    if scope["method"] not in methods:
        raise MethodNotAllowed(methods)
    plain = bearer(scope["headers"])
    grant = await admission.identify(runtime.directory, plain, runtime.screened(scope))
    client.rewrite = allowance(grant.rules, scope["headers"])
    policy.check_grant(grant, time.time())
    if grant.rules is not None:
        judge_client(grant.rules, scope, lambda code: None, trusted_proxies=runtime.trusted_proxies)
    if scope["path"] == "/token/renew":
        await _renew(runtime, grant)
        grant = await admission.identify(runtime.directory, plain)
    try:
        counters = await runtime.limits.standing(grant.subjects)
    except LimitsUnavailableError:
        raise ServiceUnavailable from None
    return _describe(grant, counters, _endpoints(runtime.providers.get(grant.provider), grant))


async def _renew(runtime: Runtime, grant: Grant) -> None:
    if not grant.permits_renewal:
        raise _not_permitted()
    try:
        await runtime.database.in_thread(partial(renew_by_holder, grant.token_id, now=timezone.now()))
    except RenewalNotPermittedError:
        raise _not_permitted() from None
    except RenewalLimitReachedError:
        raise Forbidden(
            "renewal_limit_reached", "This access token has the longest life that its project permits."
        ) from None
    except (LifecycleError, ObjectDoesNotExist):  # it has died while we asked
        raise AuthenticationError from None
    except Error:
        raise ServiceUnavailable from None
    changes = Changes(token_ids=frozenset([grant.token_id]))
    runtime.directory.apply(changes)
    runtime.running.apply(changes)


def _endpoints(provider: Provider | None, grant: Grant) -> list[str]:
    if provider is None:
        return []

    def is_allowed(endpoint: Endpoint, method: str) -> bool:
        permitted = grant.permits_leading_past_us or not endpoint.leads_past_us
        return permitted and allows_endpoint(grant.rules, endpoint, method)

    return provider.endpoints.names(is_allowed)


def _not_permitted() -> Forbidden:
    return Forbidden("renewal_not_permitted", "The project of this access token does not permit its renewal.")


def _describe(grant: Grant, counters: tuple[Counters, ...], endpoints: list[str]) -> dict[str, Any]:
    now = time.time()
    stands = list(zip(grant.subjects, counters, strict=True))
    return {
        "object": "access_token",
        "id": str(grant.token_id),
        "name": grant.token_name,
        "project": grant.project_name,
        "created_at": grant.created_at,
        "expires_at": _instant(grant.expires_at),
        "expires_in_seconds": _left(grant.expires_at, now),
        "idle_expires_at": _instant(grant.idle_expires_at),
        "replaced_at": _instant(grant.digest_dies_at),
        "is_renewable": grant.permits_renewal,
        "limits": [limit for subject, counted in stands for limit in _limits(subject, counted)],
        "budgets": [budget for subject, counted in stands for budget in _budgets(subject, counted, now)],
        "models": allowed_models(grant.rules),
        "endpoints": endpoints,
    }


def _limits(subject: Subject, counted: Counters) -> list[dict[str, Any]]:
    limits = subject.limits
    pairs = (
        (LimitName.REQUESTS, limits.max_requests, counted.requests),
        (LimitName.REQUESTS_PER_MINUTE, limits.max_requests_per_minute, counted.recent_requests),
        (
            LimitName.MODEL_TOKENS_PER_MINUTE,
            limits.max_model_tokens_per_minute,
            counted.recent_model_tokens,
        ),
        (LimitName.CONCURRENT_REQUESTS, limits.max_concurrent_requests, counted.active),
    )
    return [
        {"name": name, "of": subject.kind, "limit": limit, "used": used, "left": max(0, limit - used)}
        for name, limit, used in pairs
        if limit is not None
    ]


def _budgets(subject: Subject, counted: Counters, now: float) -> list[dict[str, Any]]:
    return [
        {
            "window": window,
            "of": subject.kind,
            "budget_usd": usd_text(budget),
            "spent_usd": usd_text(spent),
            "reserved_usd": usd_text(reserved),
            "left_usd": usd_text(max(0, budget - spent - reserved)),
            "resets_at": resets_at(window, int(now * 1000)),
        }
        for window, budget, spent, reserved in zip(
            WINDOWS, subject.limits.budgets, counted.spent, counted.reserved, strict=True
        )
        if budget is not None
    ]


def _instant(seconds: float) -> datetime | None:
    return None if seconds == float("inf") else datetime.fromtimestamp(seconds, UTC)


def _left(seconds: float, now: float) -> int | None:
    return None if seconds == float("inf") else max(0, int(seconds - now))
