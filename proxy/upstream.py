"""Opening a stream to upstream, and naming what can go wrong on the way."""

from functools import lru_cache

import httpx

from proxy.client import Client
from proxy.errors import UpstreamKeyUnavailable, UpstreamTimeout, UpstreamUnreachable
from proxy.headers import to_upstream
from proxy.request import ProxyRequest
from tokens.grant import Grant


class UpstreamCut(ConnectionAbortedError):
    """Upstream broke off in the middle of its answer: the client's answer must not end cleanly either."""


async def open_stream(
    transport: httpx.AsyncBaseTransport,
    grant: Grant,
    request: ProxyRequest,
    body: bytes | httpx.AsyncByteStream,
    client: Client,
    timeout: dict[str, float],
) -> httpx.Response:
    """Upstream's answer, its headers read, its body not. Whoever opens it closes it.

    Raises UpstreamKeyUnavailable, UpstreamUnreachable, UpstreamTimeout, and the client's failure where its
    body broke off on the way.
    """
    if grant.upstream_key is None:
        raise UpstreamKeyUnavailable
    url = _url(grant.base_url)
    upstream_request = httpx.Request(
        request.method,
        url,
        headers=[(b"host", url.netloc), *to_upstream(request.headers, grant.upstream_key)],
        extensions={"target": url.raw_path + request.target.encode("latin-1"), "timeout": timeout},
        stream=httpx.ByteStream(body) if isinstance(body, bytes) else body,
    )
    try:
        return await transport.handle_async_request(upstream_request)
    except httpx.ConnectTimeout:
        raise UpstreamUnreachable from None
    except httpx.TimeoutException:
        raise UpstreamTimeout from None
    except httpx.TransportError:
        raise client.failure or UpstreamUnreachable() from None


@lru_cache(maxsize=1024)
def _url(base_url: str) -> httpx.URL:
    return httpx.URL(base_url)
