"""Upstream's answer to the client, chunk by chunk, with the meter listening."""

from collections.abc import Awaitable, Callable

import httpx

from proxy.client import Client
from proxy.headers import first
from proxy.metering.meter import Meter
from proxy.metering.traces import TraceRemover
from proxy.types import Headers
from proxy.upstream import UpstreamCut


async def relay(
    response: httpx.Response,
    headers: Headers,
    client: Client,
    meter: Meter,
    traces: TraceRemover | None = None,
    *,
    before_end: Callable[[int], Awaitable[None]],
    has_body: bool = True,
) -> None:
    """`before_end` runs before the client can see that the answer is complete, with the number of bytes that
    are still to come: perhaps twice. With `traces` the headers declare no length.

    Raises UpstreamCut if upstream breaks off, or ends a stream before its last event; the client then sees a
    broken connection, not an end.
    """
    assert isinstance(response.stream, httpx.AsyncByteStream)
    left = _declared_length(headers)
    if not has_body or left == 0:
        client.status = None if client.is_gone else response.status_code
        await before_end(0)  # the headers are all that comes
    await client.start(response.status_code, headers)
    try:
        async for chunk in response.stream:
            meter.feed(chunk)
            left -= len(chunk)
            if traces is not None:
                chunk = traces.feed(chunk)
            if left == 0 or meter.has_ended:
                await before_end(len(chunk))
            if chunk or traces is None:
                await client.write(chunk, is_last=left == 0)
            if left == 0:
                return
    except httpx.TransportError:
        if client.failure is not None:
            raise client.failure from None  # of its body, which has not ended
        await _write_rest(client, traces)
        raise UpstreamCut from None
    await _write_rest(client, traces)
    if meter.is_cut_off and response.status_code == 200:
        raise UpstreamCut
    await before_end(0)
    await client.end()


async def _write_rest(client: Client, traces: TraceRemover | None) -> None:
    """Of a line that has not ended."""
    if traces is not None and (rest := traces.end()):
        await client.write(rest)


def _declared_length(headers: Headers) -> int:
    """Of the body, in bytes; -1 if it is not declared. The transport holds upstream to it."""
    value = first(headers, b"content-length")
    return int(value) if value is not None and value.isdigit() else -1
