"""The data plane's one view: every request under /v1 takes this path, so that nothing escapes the meter."""

import asyncio
import time
import uuid

import structlog
import uuid_utils

from llm_proxy_site.secret_forms import without_secrets
from proxy.client import Client
from proxy.errors import InternalError, ProxyError, RequestTooLarge, Restarting
from proxy.incoming import ClientDisconnected
from proxy.passage import Passage
from proxy.record import Record
from proxy.runtime import Runtime
from proxy.types import Receive, Scope, Send
from proxy.upstream import UpstreamCut
from usage.entry import UsageEntry
from usage.outcomes import Outcome

HANGUP_EXTENSION = "llm_proxy.hangup"
"""By which a server takes whom to tell that the client has left in the midst of its body."""

WRITE_EXTENSION = "llm_proxy.write"
"""By which a server takes a part of a body without a message: `Client.write_on`."""

log = structlog.get_logger("proxy")


async def forward(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one HTTP request. Once, on every way out, it is recorded and logged: before its client can see
    the end.
    """
    runtime = Runtime.current()
    client = Client(receive, send, max_body_bytes=runtime.max_body_bytes)
    extensions = scope.get("extensions", {})
    client.write_on = extensions.get(WRITE_EXTENSION)
    tell_hangup = extensions.get(HANGUP_EXTENSION)
    if tell_hangup is not None:
        tell_hangup(client.hung_up)
    entry = UsageEntry(
        id=uuid.UUID(int=uuid_utils.uuid7().int),
        started_at=time.time(),
        method=scope["method"],
        path=without_secrets(scope["path"]),
    )
    if runtime.tracer is not None:
        client.trace = runtime.tracer.begin(scope)
    record = Record(entry, client, runtime.record)
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
    except asyncio.CancelledError:  # the server waits no longer, and for a body perhaps in vain
        await _refuse(client, Restarting(), entry)
        raise
    except Exception:  # the outermost edge: the client is told, and the request is recorded
        log.exception("request failed", request_id=str(entry.id))
        await _refuse(client, InternalError(), entry)
    finally:
        record.seal()
        client.forget_failure()


def _outcome_of(error: ProxyError, client: Client) -> Outcome:
    if error.is_upstreams:
        return Outcome.UPSTREAM_FAILED
    if isinstance(error, Restarting):
        return Outcome.INTERRUPTED
    return (
        Outcome.CUT if error is client.failure and not isinstance(error, RequestTooLarge) else Outcome.REFUSED
    )


async def _refuse(client: Client, error: ProxyError, entry: UsageEntry) -> None:
    """Say what is wrong. Raises ConnectionAbortedError where an answer has begun that cannot say it."""
    entry.error_code = error.code
    await client.refuse(error, (b"x-llm-proxy-request-id", str(entry.id).encode()))


async def _forward(runtime: Runtime, scope: Scope, client: Client, entry: UsageEntry) -> None:
    passage = Passage(runtime, scope, client, entry)
    await passage.identify()
    with passage.room_for_body():
        await passage.read_body()
        await passage.run()
