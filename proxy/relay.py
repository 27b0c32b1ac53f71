"""Upstream's answer to the client, chunk by chunk, with the meter listening."""

from collections.abc import AsyncIterator

import httpx

from proxy.client import Client
from proxy.headers import Headers
from proxy.metering.meter import Meter
from proxy.upstream import UpstreamCut


async def relay(response: httpx.Response, headers: Headers, client: Client, meter: Meter) -> None:
    """Raises UpstreamCut if upstream breaks off; the client then sees a broken connection, not an end."""
    assert isinstance(response.stream, httpx.AsyncByteStream)
    await client.start(response.status_code, headers)
    chunks = aiter(response.stream)
    while (chunk := await _next(chunks)) is not None:
        meter.feed(chunk)
        await client.write(chunk)
    await client.end()


async def _next(chunks: AsyncIterator[bytes]) -> bytes | None:
    try:
        return await anext(chunks, None)
    except httpx.TransportError:
        raise UpstreamCut from None
