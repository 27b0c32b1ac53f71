"""One admitted request while it runs: what it holds, what it has used, and how it can be cut short."""

import httpx

from proxy.bill import Bill
from proxy.client import Client, ClientDisconnected
from proxy.endpoints import Endpoint
from proxy.errors import ProxyError, UpstreamUnreachable
from proxy.headers import first, to_client
from proxy.limit_headers import tell
from proxy.metering.meter import Deaf, Meter, meter_for
from proxy.relay import relay
from proxy.request import ProxyRequest, StreamedBody
from proxy.upstream import open_stream
from tokens.grant import Grant
from tokens.limits.values import Charge, Lease, LimitStore
from usage.entry import UsageEntry


class Exchange:
    is_idle = False

    def __init__(
        self, grant: Grant, lease: Lease, bill: Bill, client: Client, entry: UsageEntry, limits: LimitStore
    ) -> None:
        self.grant = grant
        self.lease = lease
        self._bill = bill
        self._client = client
        self._entry = entry
        self._limits = limits
        self._meter: Meter = Deaf()
        self._is_free = True
        """Whether upstream has done no work for it, as far as is known."""
        self._sent_after_seconds = 0.0

    async def run(
        self,
        transport: httpx.AsyncBaseTransport,
        request: ProxyRequest,
        endpoint: Endpoint,
        body: bytes | StreamedBody,
        timeout: dict[str, float],
    ) -> None:
        """From opening upstream to the end of its answer, or to its last event, if the client then hangs up.

        Raises ProxyError, UpstreamCut, and what the client's side fails with.
        """
        try:
            with self._client.failure_cancels():
                response = await self._open(transport, request, body, timeout)
                try:
                    await self._answer(response, endpoint)
                finally:
                    await response.aclose()
        except ClientDisconnected:
            if not self._meter.has_ended:
                raise

    async def settle(self) -> None:
        """The end, before the client can see it. Once; again is harmless."""
        if not self.lease.is_settled:
            await self._limits.settle(self.lease, self._charge())

    def used_microusd(self) -> int:
        return self._bill.used_microusd(self._meter.pieces)

    def cut(self, error: ProxyError) -> None:
        self._client.cut(error)

    async def _open(
        self,
        transport: httpx.AsyncBaseTransport,
        request: ProxyRequest,
        body: bytes | StreamedBody,
        timeout: dict[str, float],
    ) -> httpx.Response:
        try:
            response = await open_stream(
                transport, self.grant, request, body, self._client, timeout, self._connected
            )
        except UpstreamUnreachable:
            self._is_free = True
            raise
        self._is_free = response.status_code >= 300
        return response

    def _connected(self) -> None:
        self._sent_after_seconds = self._client.elapsed_seconds()
        self._is_free = False

    async def _answer(self, response: httpx.Response, endpoint: Endpoint) -> None:
        entry = self._entry
        headers = to_client(response.headers.raw, str(entry.id))
        entry.upstream_request_id = (first(headers, b"x-request-id") or b"").decode("latin-1")
        entry.upstream_processing_seconds = _seconds(first(headers, b"openai-processing-ms"))
        self._meter = meter_for(endpoint, headers)
        tell(headers, self.grant, self.lease)
        await relay(response, headers, self._client, self._meter, before_end=self.settle)

    def _charge(self) -> Charge:
        if self._is_free or not self._client.body_ended:
            return self._bill.free(self._entry)
        return self._bill.close(
            self._entry,
            self._meter.finish(),
            pieces=self._meter.pieces,
            bytes_sent=self._client.sent_bytes,
            seconds=self._client.elapsed_seconds() - self._sent_after_seconds,
        )


def _seconds(milliseconds: bytes | None) -> float | None:
    """Of a header's value; None where it is missing or no plain number."""
    return (
        int(milliseconds) / 1000
        if milliseconds and milliseconds.isdigit() and len(milliseconds) < 10
        else None
    )
