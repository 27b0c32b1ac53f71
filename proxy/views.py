"""The data plane's one view: every request under /v1 takes this path, so that nothing escapes the meter."""

import time
import uuid

import structlog
import uuid_utils

from proxy import admission, policy
from proxy.asking import ask_for_usage
from proxy.bill import Bill
from proxy.bodies import read_body, size_to_hold, will_be_seen
from proxy.client import Client, ClientDisconnected
from proxy.cors import allowance
from proxy.endpoints import Endpoint
from proxy.errors import InternalError, ProxyError, RequestTooLarge
from proxy.exchange import Exchange
from proxy.providers import Provider, Providers
from proxy.request import ProxyRequest, bearer
from proxy.rules import note_length
from proxy.ruling import judge_body, judge_client, judge_request
from proxy.runtime import Runtime
from proxy.types import Receive, Scope, Send
from proxy.upstream import UpstreamCut
from tokens.grant import Grant
from usage.entry import UsageEntry
from usage.outcomes import Outcome

log = structlog.get_logger("proxy")


async def forward(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one HTTP request. Once, on every way out, the request is recorded and logged."""
    runtime = Runtime.current()
    client = Client(receive, send, max_body_bytes=runtime.max_body_bytes)
    entry = UsageEntry(
        id=uuid.UUID(int=uuid_utils.uuid7().int),
        started_at=time.time(),
        method=scope["method"],
        path=scope["path"],
    )
    try:
        await _forward(runtime, scope, client, entry)
        entry.outcome = Outcome.COMPLETED
    except ProxyError as error:
        entry.outcome = _outcome_of(error, client)
        await runtime.let_pages_read(client, scope["headers"])
        await _refuse(client, error, entry)
    except ClientDisconnected:
        entry.outcome = Outcome.CLIENT_CLOSED
    except UpstreamCut:
        entry.outcome = Outcome.UPSTREAM_CUT
        raise
    except Exception:
        log.exception("request failed", request_id=str(entry.id))
        await _refuse(client, InternalError(), entry)
    finally:
        _close(runtime, client, entry)


def _outcome_of(error: ProxyError, client: Client) -> Outcome:
    if error.is_upstreams:
        return Outcome.UPSTREAM_FAILED
    return (
        Outcome.CUT if error is client.failure and not isinstance(error, RequestTooLarge) else Outcome.REFUSED
    )


async def _refuse(client: Client, error: ProxyError, entry: UsageEntry) -> None:
    """Say what is wrong. Raises ConnectionAbortedError where an answer has begun that cannot say it."""
    entry.error_code = error.code
    await client.refuse(error, (b"x-llm-proxy-request-id", str(entry.id).encode()))


async def _forward(runtime: Runtime, scope: Scope, client: Client, entry: UsageEntry) -> None:
    request = ProxyRequest.from_scope(scope)
    providers, generation = runtime.providers, runtime.directory.generation
    grant = await admission.identify(runtime.directory, bearer(request.headers))
    entry.token_id, entry.project_id = grant.token_id, grant.project_id
    client.rewrite = allowance(grant.rules, request.headers)
    policy.check_grant(grant, time.time())
    provider, endpoint = _route(providers, grant, request)
    entry.endpoint = endpoint.path
    client.permit_body(endpoint.max_request_bytes, declared_bytes=request.content_length)
    _judge(runtime, grant, scope, request, endpoint, client, entry)
    is_seen = will_be_seen(request, grant, endpoint, runtime.held_bodies)
    held_bytes = size_to_hold(request, is_seen=is_seen)
    runtime.held_bodies.take(held_bytes)
    try:
        body, facts = await read_body(request, client, grant, endpoint, is_seen=is_seen)
        entry.model, entry.is_stream = facts.model, facts.is_stream
        if runtime.directory.generation != generation:
            # The body has taken its time, and something was changed meanwhile: perhaps this token.
            generation = runtime.directory.generation
            grant = await admission.identify(runtime.directory, bearer(request.headers))
            provider, endpoint = _route(providers, grant, request)
            client.rewrite = allowance(grant.rules, request.headers)
            _judge(runtime, grant, scope, request, endpoint, client, entry)
        if grant.rules is not None:
            judge_body(grant.rules, request, endpoint, body, entry.note_shadow)
        body_bytes = len(body) if isinstance(body, bytes) else request.content_length or 0
        bill = Bill(grant, endpoint, request.method, facts, body_bytes, runtime.prices)
        lease = await admission.acquire(runtime.limits, grant, entry.id, bill.estimate())
        entry.is_admitted = True
        exchange = Exchange(grant, lease, bill, client, entry, runtime.limits)
        runtime.running.add(exchange)
        if runtime.directory.generation != generation:
            runtime.running.doubt(exchange)
        try:
            asked = ask_for_usage(request, endpoint, facts, body)
            if asked is not None:
                request, body = asked
            await exchange.run(
                runtime.transport, request, provider, endpoint, body, is_asking=asked is not None
            )
        finally:
            runtime.running.discard(exchange)
            await exchange.settle()
    finally:
        runtime.held_bodies.give_back(held_bytes)
        if grant.rules is not None and request.content_length is None:
            note_length(grant.rules, client.body_bytes, entry.note_shadow)


def _judge(
    runtime: Runtime,
    grant: Grant,
    scope: Scope,
    request: ProxyRequest,
    endpoint: Endpoint,
    client: Client,
    entry: UsageEntry,
) -> None:
    """What the rules refuse before the body is read. Raises ProxyError."""
    if grant.rules is not None:
        note = entry.note_shadow
        judge_client(grant.rules, scope, note, trusted_proxies=runtime.trusted_proxies)
        judge_request(grant.rules, request, endpoint, client, note)


def _route(providers: Providers, grant: Grant, request: ProxyRequest) -> tuple[Provider, Endpoint]:
    """Where the request goes. Raises ProxyError."""
    provider = admission.provider_of(providers, grant)
    endpoint = policy.find_endpoint(
        provider.endpoints,
        request.method,
        request.path,
        permits_leading_past_us=grant.permits_leading_past_us,
    )
    return provider, endpoint


def _close(runtime: Runtime, client: Client, entry: UsageEntry) -> None:
    """The request's end: what the client saw is recorded."""
    entry.status = client.status
    entry.request_bytes, entry.response_bytes = client.body_bytes, client.sent_bytes
    entry.first_byte_seconds = client.first_byte_seconds
    entry.duration_seconds = client.elapsed_seconds()
    runtime.record(entry)
