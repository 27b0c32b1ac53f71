"""One admitted request while it runs: what it holds, what it has used, and how it can be cut short."""

import asyncio
from collections.abc import Callable

import httpx

from proxy.asking import traces_of_asking
from proxy.attempts import Attempts
from proxy.bill import Bill, finished
from proxy.client import Client
from proxy.endpoints import Endpoint
from proxy.errors import ProxyError, Restarting, UpstreamTimeout
from proxy.headers import first, media_type, to_client
from proxy.incoming import ClientDisconnected
from proxy.limit_headers import tell
from proxy.metering.guarded import Guarded
from proxy.metering.meter import Deaf, meter_for
from proxy.metering.silence import Silence
from proxy.metering.usage import Usage
from proxy.providers import Provider
from proxy.relay import relay
from proxy.request import ProxyRequest, StreamedBody
from proxy.tracing.trace import Trace
from proxy.upstream import UpstreamCut
from proxy.upstreams import Upstreams
from tokens.grant import Grant
from tokens.limits.values import Charge, Lease, LimitStore
from usage.entry import UsageEntry
from usage.outcomes import Outcome


class Exchange:
    is_idle = False

    def __init__(
        self, grant: Grant, lease: Lease, bill: Bill, client: Client, entry: UsageEntry, limits: LimitStore
    ) -> None:
        self.grant = grant
        self.lease = lease
        self._bill = bill
        self._client = client
        self.entry = entry
        self._limits = limits
        self._silence = Silence()
        self._meter = Guarded(Deaf(), entry.id, self._silence)
        self._is_background = False
        self._may_drain = True
        self._is_accepted = False
        """Whether upstream works on it, or has, as far as is known of the newest attempt."""
        self._has_worked_in_vain = False
        """Whether an attempt before has run out of time."""
        self._is_whole = False
        """Whether all that the answer has to report has passed."""
        self.before_end: Callable[[], None] = lambda: None
        """Called before the record is made: the last moment to note something in it."""
        self.hear: Callable[[httpx.Response], None] | None = None
        """Called with upstream's answer, before anything is read of its body."""

    async def run(
        self,
        upstreams: Upstreams,
        transport: httpx.AsyncBaseTransport,
        request: ProxyRequest,
        provider: Provider,
        endpoint: Endpoint,
        body: bytes | StreamedBody,
        *,
        is_asking: bool = False,
    ) -> None:
        """From opening upstream to the end of its answer, or to its last event, if the client then hangs up.
        `is_asking`: usage is asked for in the client's place.

        Where the project wants it, the answer is read on when the client hangs up, and the end is still that.
        Raises ProxyError, UpstreamCut, and what the client's side fails with.
        """
        if self._bill.may_cost and self._may_drain:
            self._client.drain_seconds = self.grant.drain_seconds
        timer = self._bound_time(endpoint)
        try:
            with self._client.failure_cancels():
                response = await self._open(upstreams, transport, request, provider, endpoint, body)
                try:
                    await self._answer(response, endpoint, is_asking=is_asking)
                finally:
                    await response.aclose()
        except ClientDisconnected:
            if self._client.is_gone or not self._meter.has_ended:
                raise
        except (ProxyError, UpstreamCut) as problem:
            if self._client.is_gone:
                raise ClientDisconnected from None
            if isinstance(problem, UpstreamTimeout) and self._client.status is not None:
                raise UpstreamCut from None
            raise
        finally:
            if timer is not None:
                timer.cancel()
        if self._client.is_gone:
            raise ClientDisconnected

    async def settle(self) -> None:
        """The end, before the client can see it. Once; again is harmless."""
        if not self.lease.is_settled:
            await self._limits.settle(self.lease, self._charge())

    def used_microusd(self) -> int:
        return self._bill.used_microusd(self._meter.pieces)

    def cut(self, error: ProxyError) -> None:
        self._client.cut(error)

    def drain_no_more(self) -> None:
        self._may_drain = False
        self._client.drain_no_more()

    def interrupt(self) -> None:
        self.cut(Restarting())

    def _bound_time(self, endpoint: Endpoint) -> asyncio.TimerHandle | None:
        seconds = endpoint.timeout.get("total")
        if not seconds:
            return None
        return asyncio.get_running_loop().call_later(seconds, self._client.expire, UpstreamTimeout())

    async def _open(
        self,
        upstreams: Upstreams,
        transport: httpx.AsyncBaseTransport,
        request: ProxyRequest,
        provider: Provider,
        endpoint: Endpoint,
        body: bytes | StreamedBody,
    ) -> httpx.Response:
        response = await Attempts(
            upstreams,
            transport,
            provider,
            endpoint,
            self.grant,
            request,
            body,
            self._client,
            self.entry,
            self._connected,
            self._failed,
        ).answer()
        if response.status_code >= 300:
            self._is_accepted = False
        return response

    def _connected(self) -> None:
        self._silence.begin()
        self._is_accepted = True

    def _failed(self, was_work: bool) -> None:
        """What is waited for from here on is no work of upstream's."""
        self._silence.end(was_work=was_work)
        self._is_accepted = False
        self._has_worked_in_vain |= was_work

    async def _answer(self, response: httpx.Response, endpoint: Endpoint, *, is_asking: bool) -> None:
        entry = self.entry
        request_id = str(entry.id)
        headers = to_client(response.headers.raw, request_id)
        entry.upstream_request_id = (first(headers, b"x-request-id") or b"").decode("latin-1")
        entry.upstream_processing_seconds = _seconds(first(headers, b"openai-processing-ms"))
        self._is_background = endpoint.background
        entry.is_stream = entry.is_stream or media_type(headers) == b"text/event-stream"
        meter = meter_for(endpoint, headers, entry.method, choices=self._bill.choices)
        if not self._is_accepted or isinstance(meter, Deaf):
            if self._client.is_gone:
                raise ClientDisconnected
            self._client.drain_seconds = 0  # there is nothing to learn
        self._meter = Guarded(meter, entry.id, self._silence)
        tell(headers, self.grant, self.lease)
        traces = None
        if is_asking:
            traces, headers = traces_of_asking(response.status_code, headers)
        if self.hear is not None:
            self.hear(response)
        has_body = entry.method != "HEAD" and response.status_code not in (204, 304)
        await relay(
            response, headers, self._client, self._meter, traces, before_end=self._end, has_body=has_body
        )

    async def _end(self, coming_bytes: int) -> None:
        self._is_whole = True
        self._client.drain_seconds = 0  # a hang-up from here on is none: the client has its answer
        await self.settle()
        self.before_end()
        self.entry.outcome = Outcome.COMPLETED
        self._client.announce_end(coming_bytes)

    def _charge(self) -> Charge:
        has_worked = self._is_accepted or self._has_worked_in_vain
        if not has_worked or not (self._client.body_ended or self._is_whole):
            return self._bill.free(self.entry)
        usage = self._meter.finish()
        if self._is_background:
            usage = self._note_work(usage)
        if self._client.trace is not None and self._bill.may_cost:
            self._tell(self._client.trace, usage)
        return self._bill.close(
            self.entry,
            usage,
            is_whole=self._is_whole and self._is_accepted,
            pieces=self._meter.pieces,
            bytes_heard=self._meter.heard_bytes,
            silent_seconds=self._silence.seconds,
            body_bytes=self._client.received_bytes,
            answering_model=self._meter.model,
        )

    def _tell(self, trace: Trace, usage: Usage | None) -> None:
        """The answer of a model. Where it is a document that reports nothing, it is not read."""
        finish_reasons = self._meter.finish_reasons()
        if usage is not None or finish_reasons:
            trace.hears(self._meter.reported, finish_reasons)

    def _note_work(self, usage: Usage | None) -> Usage | None:
        """What upstream does by itself: the request has begun it, or has found it finished. The usage by
        which the request itself is charged.
        """
        work = self._meter.work()
        may_cost = self._bill.may_cost
        if work is None or (may_cost and work.is_finished and usage is not None):
            return usage  # it is finished already, and charged
        self.entry.work_id, self.entry.begins_work = work.id, may_cost
        if work.is_finished:
            self.entry.finished = finished(work, usage)
        return None


def _seconds(milliseconds: bytes | None) -> float | None:
    """Of a header's value; None where it is missing or no plain number."""
    return (
        int(milliseconds) / 1000
        if milliseconds and milliseconds.isdigit() and len(milliseconds) < 10
        else None
    )
