"""One request's attempts to get an answer from upstream: with which key, how often, and when no more. All of
them come before the first byte to the client; what the last one brought is what the client gets.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus

import httpx

from proxy.client import Client
from proxy.endpoints import Endpoint
from proxy.errors import NoFreeConnection, ProxyError, UpstreamTimeout, UpstreamUnavailable
from proxy.failover import Failover
from proxy.leave import Leave
from proxy.providers import Provider
from proxy.refusals import Asking, refusal_in
from proxy.request import ProxyRequest, StreamedBody
from proxy.retry import REFUSED_UNWORKED, can_be_repeated, may_ask_again, retries_for, seconds_to_wait
from proxy.tracing.trace import Trace
from proxy.types import Headers
from proxy.upstream import open_stream
from proxy.upstreams import Upstreams
from tokens.grant import Grant
from usage.entry import UsageEntry


class Attempts:
    def __init__(
        self,
        upstreams: Upstreams,
        transport: httpx.AsyncBaseTransport,
        provider: Provider,
        endpoint: Endpoint,
        grant: Grant,
        request: ProxyRequest,
        body: bytes | StreamedBody,
        client: Client,
        entry: UsageEntry,
        on_connected: Callable[[], None],
        on_failed: Callable[[bool], None],
    ) -> None:
        """`entry` counts the attempts. `on_connected` is called in each one that has a connection, before the
        request goes out; `on_failed` after each one that upstream has ended without what was asked for, with
        whether it may have worked until then.
        """
        self._upstreams = upstreams
        self._transport = transport
        self._provider = provider
        self._endpoint = endpoint
        self._grant = grant
        self._request = request
        self._body = body
        self._client = client
        self._entry = entry
        self._on_connected = on_connected
        self._on_failed = on_failed
        self._base_url = grant.base_url or provider.base_url
        self._is_connected = False
        self._retries_made = 0
        self._failover: Failover | None = None
        self._keys = grant.upstream_keys
        """One only, once upstream may have worked with it: another account may not know the request."""

    async def answer(self) -> httpx.Response:
        """Upstream's answer, its headers read, its body not. Whoever asks closes it.

        Raises UpstreamUnavailable, UpstreamUnreachable, UpstreamTimeout, and the client's failure where its
        body broke off on the way.
        """
        leave: Leave | None = self._upstreams.admit(self._base_url, self._grant.upstream_keys)
        is_taken = False
        try:
            while leave is not None:
                outcome = await self._ask(leave)
                if self._client.trace is not None:
                    _note(self._client.trace, outcome)
                if isinstance(outcome, httpx.Response) and outcome.status_code < HTTPStatus.BAD_REQUEST:
                    is_taken = True
                    return outcome
                self._on_failed(self._was_work(outcome))
                leave = await self._closing_on_failure(outcome, leave)
        finally:
            if self._failover is not None:
                self._failover.settle(was_taken=is_taken)
        if isinstance(outcome, ProxyError):
            try:
                raise outcome
            finally:
                del outcome  # it has this frame, which must not have it, or neither would be freed
        return outcome

    async def _ask(self, leave: Leave) -> httpx.Response | ProxyError:
        """Upstream's answer, or how upstream failed."""
        self._entry.attempts += 1
        self._is_connected = False
        if self._client.trace is not None:
            self._client.trace.asks(self._base_url, leave.key.id, self._entry.model)
        try:
            response = await open_stream(
                self._transport,
                self._base_url,
                self._provider,
                self._grant,
                leave.key.value,
                self._request,
                self._body,
                self._client,
                self._endpoint.timeout,
                partial(self._connected, leave),
                self._entry.id,
            )
        except ProxyError as failure:
            if not failure.is_upstreams:  # the client's body is too large
                leave.forget()
                raise
            self._tell(leave, failure)
            return failure
        except BaseException:  # a hang-up, too: a leave that is not given back may be a probe
            if self._is_connected and self._client.body_ended and self._has_run_out_of_time:
                leave.was_silent()
            leave.forget()
            raise
        leave.answered(response.status_code)
        return response

    @property
    def _has_run_out_of_time(self) -> bool:
        return isinstance(self._client.failure, UpstreamTimeout)

    def _connected(self, leave: Leave) -> None:
        self._is_connected = True
        leave.connected()
        self._on_connected()

    def _tell(self, leave: Leave, failure: ProxyError) -> None:
        if isinstance(failure, NoFreeConnection):
            leave.forget()
        elif not self._is_connected:
            leave.was_unreachable()
        elif self._client.body_ended or isinstance(failure, UpstreamTimeout):
            leave.was_silent()
        else:
            leave.forget()  # perhaps upstream would not wait for a client that does not send

    def _was_work(self, outcome: httpx.Response | ProxyError) -> bool:
        return self._is_connected and isinstance(outcome, UpstreamTimeout) and outcome.was_sent

    async def _closing_on_failure(self, outcome: httpx.Response | ProxyError, leave: Leave) -> Leave | None:
        """Leave for the next attempt, the answer of this one closed; None: this one's is the last."""
        following: Leave | None = None
        try:
            following = await self._following(outcome, leave)
            if following is not None and isinstance(outcome, httpx.Response):
                await outcome.aclose()
        except BaseException:  # as above; and whoever has an answer closes it
            if following is not None:
                following.forget()
            if isinstance(outcome, httpx.Response):
                await outcome.aclose()
            raise
        return following

    async def _following(self, outcome: httpx.Response | ProxyError, leave: Leave) -> Leave | None:
        is_whole = isinstance(self._body, bytes) or not self._is_connected
        can_be_sent_again = is_whole and not self._client.is_gone
        refusal = await refusal_in(outcome) if isinstance(outcome, httpx.Response) else None
        if refusal is not None and isinstance(outcome, httpx.Response):
            if self._failover is None:
                asking = Asking(self._grant.token_id, self._request.path)
                self._failover = Failover(self._upstreams, self._base_url, self._keys, asking)
            self._failover.note(leave.key, refusal, _lowered(outcome.headers.raw))
            may_change = can_be_sent_again and self._keys is self._grant.upstream_keys
            following = self._failover.another() if may_change else None
            if following is not None:
                return following
        if self._failover is not None:
            was_taken = refusal is None and _is_of_the_request(outcome)
            self._failover.settle(was_taken=was_taken, could_be_sent_again=can_be_sent_again)
        if not can_be_sent_again:
            return None
        return await self._repetition(outcome, leave, is_quota=refusal is not None and refusal.is_quota)

    async def _repetition(
        self, outcome: httpx.Response | ProxyError, leave: Leave, *, is_quota: bool
    ) -> Leave | None:
        """Leave for it, after the time that it has to wait."""
        request = self._request
        if self._retries_made >= retries_for(request.headers, self._upstreams.max_retries):
            return None
        headers: Headers = []
        is_harmless = can_be_repeated(request.method, request.headers)
        if isinstance(outcome, httpx.Response):
            headers = _lowered(outcome.headers.raw)
            status = outcome.status_code
            if not may_ask_again(status, headers, is_harmless=is_harmless, is_quota=is_quota):
                return None
            if status not in REFUSED_UNWORKED:
                self._keys = (leave.key,)
        elif self._is_connected and is_harmless:
            self._keys = (leave.key,)
        elif isinstance(outcome, NoFreeConnection) or self._is_connected:
            return None
        seconds = seconds_to_wait(self._retries_made, headers, now=time.time())
        if seconds is None or not leave.take_retry():
            return None
        await asyncio.sleep(seconds)
        self._client.waited_seconds += seconds
        if self._client.is_gone:
            return None
        self._retries_made += 1
        try:
            return self._upstreams.try_again(self._base_url, self._keys)
        except UpstreamUnavailable:
            return None


def _note(trace: Trace, outcome: httpx.Response | ProxyError) -> None:
    if isinstance(outcome, httpx.Response):
        trace.was_answered(outcome.status_code)
    else:
        trace.has_failed(outcome.code)


def _is_of_the_request(outcome: httpx.Response | ProxyError) -> bool:
    """Whether upstream has got so far as to look at it."""
    return isinstance(outcome, httpx.Response) and outcome.status_code < HTTPStatus.INTERNAL_SERVER_ERROR


def _lowered(headers: list[tuple[bytes, bytes]]) -> Headers:
    return [(name.lower(), value) for name, value in headers]
