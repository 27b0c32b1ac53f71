"""Opens upstream's side of a WebSocket: with which of the project's keys, and whether upstream is asked at
all. A key that is refused gives way to the next one. Nothing else is repeated: clients connect again by
themselves.
"""

from http import HTTPStatus

from proxy.errors import NoFreeConnection, ProxyError, UpstreamTimeout, UpstreamUnreachable
from proxy.failover import Failover
from proxy.leave import Leave
from proxy.providers import Provider
from proxy.refusals import Asking, refusal_of
from proxy.tracing.trace import Trace
from proxy.types import Headers
from proxy.upstreams import Upstreams
from proxy.websockets.handshake import Handshake
from proxy.websockets.upstream import SocketTransport, UpstreamRefusal, UpstreamSocket
from tokens.grant import Grant
from usage.entry import UsageEntry

SWITCHING_PROTOCOLS = 101


async def open_socket(
    upstreams: Upstreams,
    transport: SocketTransport,
    provider: Provider,
    grant: Grant,
    handshake: Handshake,
    entry: UsageEntry,
    trace: Trace | None,
) -> tuple[UpstreamSocket, Headers]:
    """As SocketTransport.open, and raises UpstreamUnavailable besides. `entry` counts the attempts."""
    base_url = grant.base_url or provider.base_url
    asking = Asking(grant.token_id, handshake.request.path)
    failover = Failover(upstreams, base_url, grant.upstream_keys, asking)
    leave: Leave | None = upstreams.admit(base_url, grant.upstream_keys)
    was_taken = False
    try:
        while True:
            assert leave is not None
            entry.attempts += 1
            if trace is not None:
                trace.asks(base_url, leave.key.id, entry.model)
            try:
                opened = await _ask(leave, transport, base_url, provider, grant, handshake, trace)
            except UpstreamRefusal as answer:
                if trace is not None:
                    trace.was_answered(answer.status)
                refusal = refusal_of(answer.status, answer.body)
                if refusal is not None:
                    failover.note(leave.key, refusal, answer.headers)
                    leave = failover.another()
                if refusal is None or leave is None:
                    was_taken = refusal is None and answer.status < HTTPStatus.INTERNAL_SERVER_ERROR
                    raise
            except ProxyError as failure:
                if trace is not None:
                    trace.has_failed(failure.code)
                raise
            else:
                if trace is not None:
                    trace.was_answered(SWITCHING_PROTOCOLS)
                was_taken = True
                return opened
    finally:
        failover.settle(was_taken=was_taken)


async def _ask(
    leave: Leave,
    transport: SocketTransport,
    base_url: str,
    provider: Provider,
    grant: Grant,
    handshake: Handshake,
    trace: Trace | None,
) -> tuple[UpstreamSocket, Headers]:
    context = trace.headers_to_upstream() if trace is not None else []
    try:
        opened = await transport.open(base_url, provider, grant, leave.key.value, handshake, context)
    except UpstreamRefusal as answer:
        leave.answered(answer.status)
        raise
    except UpstreamTimeout:
        leave.was_silent()
        raise
    except NoFreeConnection:
        leave.forget()
        raise
    except UpstreamUnreachable as failure:
        (leave.was_silent if failure.was_connected else leave.was_unreachable)()
        raise
    except BaseException:  # cancelled, or a fault of ours: a leave that is not given back may be a probe
        leave.forget()
        raise
    leave.answered(SWITCHING_PROTOCOLS)
    return opened
