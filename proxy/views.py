"""The data plane's one view: every request under /v1 takes this path, so that nothing escapes the meter."""

import time
import uuid

import httpx
import structlog
import uuid_utils

from proxy import admission, policy
from proxy.client import Client, ClientDisconnected
from proxy.errors import InternalError, ProxyError
from proxy.headers import first, to_client
from proxy.metering.meter import meter_for
from proxy.metering.usage import Usage
from proxy.providers import Endpoint
from proxy.relay import relay
from proxy.request import Facts, ProxyRequest, StreamedBody, peek
from proxy.runtime import Runtime
from proxy.types import Receive, Scope, Send
from proxy.upstream import UpstreamCut, open_stream
from usage.entry import UsageEntry
from usage.outcomes import Outcome, UsageSource

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
        entry.outcome = Outcome.UPSTREAM_FAILED if error.is_upstreams else Outcome.REFUSED
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


async def _refuse(client: Client, error: ProxyError, entry: UsageEntry) -> None:
    """Say what is wrong. Raises ConnectionAbortedError where an answer has begun: it must not look whole."""
    entry.error_code = error.code
    if client.status is not None:
        raise ConnectionAbortedError(error.message)
    await client.refuse(error, (b"x-llm-proxy-request-id", str(entry.id).encode()))


async def _forward(runtime: Runtime, scope: Scope, client: Client, entry: UsageEntry) -> None:
    request = ProxyRequest.from_scope(scope, max_body_bytes=runtime.max_body_bytes)
    grant = await admission.identify(runtime.directory, request)
    generation = runtime.directory.generation
    entry.token_id, entry.project_id = grant.token_id, grant.project_id
    policy.check_grant(grant, time.time())
    endpoint = policy.find_endpoint(runtime.providers, request.method, request.path)
    entry.endpoint = endpoint.path
    body = await _read_body(request, client, entry)
    if runtime.directory.generation != generation:
        # The body has taken its time, and something was changed meanwhile: perhaps this token.
        grant = await admission.identify(runtime.directory, request)
    admission.acquire(runtime.limits, grant)
    entry.is_admitted = True
    with client.hangup_cancels():
        response = await open_stream(runtime.transport, grant, request, body, client, runtime.timeout)
        try:
            await _answer(response, endpoint, client, entry)
        finally:
            await response.aclose()


async def _read_body(request: ProxyRequest, client: Client, entry: UsageEntry) -> bytes | StreamedBody:
    """A small JSON body whole, for the facts in it; any other as a stream."""
    if request.can_be_peeked or not request.has_body:
        body = await client.read()
        facts = peek(body) if body else Facts()
        entry.model, entry.is_stream = facts.model, bool(facts.stream)
        return body
    return StreamedBody(client)


async def _answer(response: httpx.Response, endpoint: Endpoint, client: Client, entry: UsageEntry) -> None:
    headers = to_client(response.headers.raw, str(entry.id))
    entry.upstream_request_id = (first(headers, b"x-request-id") or b"").decode("latin-1")
    entry.upstream_processing_seconds = _seconds(first(headers, b"openai-processing-ms"))
    meter = meter_for(endpoint, headers)
    try:
        await relay(response, headers, client, meter)
    finally:
        _note_usage(entry, meter.finish())


def _seconds(milliseconds: bytes | None) -> float | None:
    """Of a header's value; None where it is missing or no plain number."""
    return (
        int(milliseconds) / 1000
        if milliseconds and milliseconds.isdigit() and len(milliseconds) < 10
        else None
    )


def _note_usage(entry: UsageEntry, usage: Usage | None) -> None:
    if usage is None:
        return
    entry.usage_source = UsageSource.UPSTREAM
    entry.model = usage.model or entry.model
    entry.input_tokens, entry.output_tokens = usage.input_tokens, usage.output_tokens
    entry.cached_tokens, entry.reasoning_tokens = usage.cached_tokens, usage.reasoning_tokens


def _close(runtime: Runtime, client: Client, entry: UsageEntry) -> None:
    """The request's end: what the client saw is recorded."""
    entry.status = client.status
    entry.request_bytes, entry.response_bytes = client.body_bytes, client.sent_bytes
    entry.first_byte_seconds = client.first_byte_seconds
    entry.duration_seconds = client.elapsed_seconds()
    runtime.record(entry)
