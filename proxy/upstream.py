"""Opening a stream to upstream, and naming what can go wrong on the way."""

import time
from collections.abc import Callable
from functools import lru_cache
from uuid import UUID

import httpx
import structlog

from proxy.client import Client
from proxy.errors import NoFreeConnection, ProxyError, UpstreamTimeout, UpstreamUnreachable
from proxy.headers import to_upstream
from proxy.providers import Provider
from proxy.request import ProxyRequest
from tokens.grant import Grant

log = structlog.get_logger("proxy")


class UpstreamCut(ConnectionAbortedError):
    """Upstream broke off in the middle of its answer: the client's answer must not end cleanly either."""


async def open_stream(
    transport: httpx.AsyncBaseTransport,
    base_url: str,
    provider: Provider,
    grant: Grant,
    upstream_key: str,
    request: ProxyRequest,
    body: bytes | httpx.AsyncByteStream,
    client: Client,
    timeout: dict[str, float],
    on_connected: Callable[[], None],
    request_id: UUID,
) -> httpx.Response:
    """Upstream's answer to one attempt, its headers read, its body not. Whoever opens it closes it.
    `on_connected` is called when there is a connection, before the request goes out. The log names
    `request_id`.

    Raises UpstreamUnreachable, UpstreamTimeout, the client's failure where its body broke off on the way, and
    LocalProtocolError where we would send a body that is not as long as we declare.
    """
    url, netloc = _url(base_url)
    headers = to_upstream(request.headers, upstream_key, provider.headers, grant.upstream_headers)
    if client.trace is not None:
        headers += client.trace.headers_to_upstream()
    upstream_request = httpx.Request(
        request.method,
        url,
        headers=[(b"host", netloc), *headers],
        extensions={
            "target": url.raw_path + request.target.encode("latin-1"),
            "timeout": timeout,
            "on_connected": on_connected,
        },
        stream=httpx.ByteStream(body) if isinstance(body, bytes) else body,
    )
    began = time.perf_counter()
    try:
        response = await transport.handle_async_request(upstream_request)
    except httpx.TransportError as problem:
        if client.failure is not None:
            raise client.failure from None
        if isinstance(problem, httpx.LocalProtocolError):
            raise  # upstream has done nothing wrong
        what = {"error": type(problem).__name__, "reason": str(problem), "url": str(url)}
        log.warning("upstream failed", request_id=str(request_id), **what)
        raise _named(problem) from None
    finally:
        client.waited_seconds += time.perf_counter() - began
    if response.status_code < 200:
        await response.aclose()
        raise UpstreamUnreachable  # a switch of protocols that nobody asked for
    return response


def _named(problem: httpx.TransportError) -> ProxyError:
    if isinstance(problem, httpx.PoolTimeout):
        return NoFreeConnection()
    if isinstance(problem, httpx.TimeoutException) and not isinstance(problem, httpx.ConnectTimeout):
        return UpstreamTimeout(was_sent=not isinstance(problem, httpx.WriteTimeout))
    return UpstreamUnreachable()


@lru_cache(maxsize=1024)
def _url(base_url: str) -> tuple[httpx.URL, bytes]:
    """And its host, with the port if that is not the usual one."""
    url = httpx.URL(base_url)
    return url, url.netloc
