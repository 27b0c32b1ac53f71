"""The data plane's view of WebSockets: who asks, for what, upstream's handshake, ours, the conversation."""

import time
import uuid
from collections.abc import Callable
from functools import partial

import structlog
import uuid_utils
from django.conf import settings

from llm_proxy_site.secret_forms import without_secrets
from projects.ruleset import Ruleset
from proxy import admission, policy
from proxy.endpoints import Endpoint
from proxy.errors import (
    EndpointNotFound,
    InternalError,
    ProxyError,
    RateLimitReached,
    UpstreamKeyUnavailable,
)
from proxy.headers import first, to_client
from proxy.providers import Provider
from proxy.record import Record
from proxy.runtime import Runtime
from proxy.types import Headers, Receive, Scope, Send
from proxy.websockets.client import GOING_AWAY, SocketClient, SocketClosed
from proxy.websockets.conversation import Conversation
from proxy.websockets.endings import Ending
from proxy.websockets.handshake import Handshake
from proxy.websockets.ledger import TurnLedger
from proxy.websockets.opening import open_socket
from proxy.websockets.refusals import model_unknown, used_up
from proxy.websockets.rules import judge_handshake
from proxy.websockets.state import ConversationState, RealtimeState, ResponsesState
from proxy.websockets.upstream import UpstreamRefusal, UpstreamSocket
from tokens.grant import Grant
from tokens.limits.values import LimitName
from usage.entry import UsageEntry
from usage.outcomes import Outcome

log = structlog.get_logger("proxy")


async def connect(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one WebSocket. Once, on every way out, the connection is recorded and logged."""
    runtime = Runtime.current()
    can_refuse = "websocket.http.response" in scope.get("extensions", {})
    client = SocketClient(receive, send, can_refuse=can_refuse)
    entry = UsageEntry(
        id=uuid.UUID(int=uuid_utils.uuid7().int),
        started_at=time.time(),
        method="GET",
        path=without_secrets(scope["path"]),
    )
    if runtime.tracer is not None:
        client.trace = runtime.tracer.begin(scope)
    record = Record(entry, client, runtime.record)
    try:
        await _connect(runtime, scope, client, entry)
    except ProxyError as error:
        entry.outcome = Outcome.UPSTREAM_FAILED if error.is_upstreams else Outcome.REFUSED
        await _refuse(client, error, entry)
    except SocketClosed:
        entry.outcome = Outcome.CLIENT_CLOSED
    except Exception:  # the outermost edge: the client is told, and the request is recorded
        log.exception("websocket failed", request_id=str(entry.id))
        await _refuse(client, InternalError(), entry)
    finally:
        record.seal()


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """For a path where there is nothing."""
    can_refuse = "websocket.http.response" in scope.get("extensions", {})
    await SocketClient(receive, send, can_refuse=can_refuse).refuse(EndpointNotFound())


async def _refuse(client: SocketClient, error: ProxyError, entry: UsageEntry) -> None:
    entry.error_code = error.code
    if client.status is None:
        await client.refuse(error, _own_header(entry))


async def _connect(runtime: Runtime, scope: Scope, client: SocketClient, entry: UsageEntry) -> None:
    handshake = Handshake.from_scope(scope)
    generation = runtime.directory.generation
    providers = runtime.providers
    grant = await admission.identify(runtime.directory, handshake.token, runtime.screened(scope))
    entry.token_id, entry.project_id = grant.token_id, grant.project_id
    entry.model = without_secrets(handshake.model)
    policy.check_grant(grant, time.time())
    provider = admission.provider_of(providers, grant)
    endpoint = policy.find_socket(
        provider.endpoints,
        handshake.request.path,
        permits_leading_past_us=grant.permits_leading_past_us,
    )
    entry.endpoint = endpoint.path
    judge = partial(
        judge_handshake,
        scope=scope,
        endpoint=endpoint,
        handshake=handshake,
        note=entry.note_shadow,
        trusted_proxies=runtime.trusted_proxies,
    )
    if grant.rules is not None:
        judge(grant.rules)
    await _check(runtime, grant, handshake)
    try:
        runtime.sockets.enter(grant)
    except RateLimitReached:
        entry.limit_reached = LimitName.CONCURRENT_REQUESTS
        raise
    try:
        opened = await _open(runtime, provider, grant, handshake, client, entry)
        if opened is not None:
            await _converse(
                runtime, grant, endpoint, _state(handshake), judge, client, opened, entry, generation
            )
    finally:
        runtime.sockets.leave(grant)


def _state(handshake: Handshake) -> ConversationState:
    if handshake.is_realtime:
        return RealtimeState(handshake.model, joins=handshake.joins)
    return ResponsesState()


async def _check(runtime: Runtime, grant: Grant, handshake: Handshake) -> None:
    """What can be known before anything is sent. Raises ProxyError."""
    if not grant.upstream_keys:
        raise UpstreamKeyUnavailable
    has_model = handshake.model or handshake.joins or handshake.only_transcribes
    if grant.counts_usage and handshake.is_realtime and not has_model:
        raise model_unknown()
    if grant.has_budget and (error := await used_up(runtime.limits, grant)) is not None:
        raise error


async def _open(
    runtime: Runtime,
    provider: Provider,
    grant: Grant,
    handshake: Handshake,
    client: SocketClient,
    entry: UsageEntry,
) -> UpstreamSocket | None:
    """Upstream's WebSocket, and the client's accepted; None: the client has got upstream's refusal."""
    try:
        socket, answer = await open_socket(
            runtime.upstreams, runtime.socket_transport, provider, grant, handshake, entry, client.trace
        )
    except UpstreamRefusal as refusal:
        entry.outcome = Outcome.COMPLETED
        _note_upstream(entry, refusal.headers)
        await client.answer(refusal.status, _passing(refusal.headers, entry, grant), refusal.body)
        return None
    _note_upstream(entry, answer)
    try:
        await client.accept(handshake.selected(socket.protocol), _passing(answer, entry, grant))
    except BaseException:  # whoever opened it closes it
        await socket.close(GOING_AWAY)
        raise
    return socket


async def _converse(
    runtime: Runtime,
    grant: Grant,
    endpoint: Endpoint,
    state: ConversationState,
    judge: Callable[[Ruleset], None],
    client: SocketClient,
    socket: UpstreamSocket,
    entry: UsageEntry,
    generation: int,
) -> None:
    turns = TurnLedger(
        grant,
        endpoint,
        entry,
        state,
        limits=runtime.limits,
        prices=runtime.prices,
        running=runtime.running,
        record=partial(runtime.record, trace=client.trace),
    )

    def note(ending: Ending) -> None:
        entry.outcome, entry.error_code = ending.outcome, ending.error_code

    conversation = Conversation(
        entry.id,
        client,
        socket,
        turns,
        judge_handshake=judge,
        before_close=note,
        idle_seconds=settings.WEBSOCKET_IDLE_SECONDS,
    )
    runtime.running.add(conversation)
    runtime.sockets.add(entry.id, conversation)
    if runtime.directory.generation != generation:
        runtime.running.doubt(conversation)
    try:
        await conversation.run()
    finally:
        runtime.running.discard(conversation)
        runtime.sockets.discard(entry.id)


def _note_upstream(entry: UsageEntry, headers: Headers) -> None:
    entry.upstream_request_id = (first(headers, b"x-request-id") or b"").decode("latin-1")


def _passing(headers: Headers, entry: UsageEntry, grant: Grant) -> Headers:
    """Upstream's headers as the client gets them, without those of a handshake that is not the client's."""
    kept = [
        header
        for header in to_client(headers, str(entry.id))
        if not header[0].startswith(b"sec-websocket-") and header[0] != b"content-length"
    ]
    return [*kept, (b"x-llm-proxy-token-expires-at", grant.expires_at_text)]


def _own_header(entry: UsageEntry) -> tuple[bytes, bytes]:
    return b"x-llm-proxy-request-id", str(entry.id).encode()
