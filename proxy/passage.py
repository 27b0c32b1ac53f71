"""One request on its way through the checks, until it runs: who asks, where it goes, what its body says."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from llm_proxy_site.secret_forms import without_secrets
from proxy import admission, policy
from proxy.asking import ask_for_usage
from proxy.bill import Bill
from proxy.bodies import read_body, will_be_seen
from proxy.breathing import breathe
from proxy.client import Client
from proxy.cors import allowance
from proxy.endpoints import Endpoint
from proxy.errors import Restarting
from proxy.exchange import Exchange
from proxy.facts import Facts
from proxy.providers import Provider
from proxy.request import ProxyRequest, StreamedBody, bearer
from proxy.rules import note_length
from proxy.ruling import judge_body, judge_client, judge_request
from proxy.runtime import Runtime
from proxy.types import Scope
from tokens.grant import Grant
from usage.entry import UsageEntry


class Passage:
    """Its steps are taken in the order in which they stand here. Each raises ProxyError."""

    _grant: Grant
    _provider: Provider
    _endpoint: Endpoint
    _body: bytes | StreamedBody
    _facts: Facts

    def __init__(self, runtime: Runtime, scope: Scope, client: Client, entry: UsageEntry) -> None:
        self._runtime = runtime
        self._scope = scope
        self._client = client
        self._entry = entry
        self._request = ProxyRequest.from_scope(scope)
        self._providers = runtime.providers
        self._generation = runtime.directory.generation

    async def identify(self) -> None:
        """Who asks for what, and what is refused without a look into the body."""
        entry = self._entry
        grant = await self._find_grant()
        entry.token_id, entry.project_id = grant.token_id, grant.project_id
        policy.check_grant(grant, time.time())
        self._route()
        entry.endpoint = self._endpoint.path
        length = self._request.content_length
        self._client.permit_body(self._endpoint.max_request_bytes, declared_bytes=length)
        self._judge()
        admission.check_upstream(self._runtime.upstreams, grant, self._provider)  # before the body comes

    @contextmanager
    def room_for_body(self) -> Iterator[None]:
        """Until the request has ended: what is read of the body is held so long."""
        self._held = self._runtime.held_bodies.place_for(self._grant)
        self._is_seen = will_be_seen(self._request, self._grant, self._endpoint, self._held)
        try:
            yield
        finally:
            self._held.give_back()
            self.note_length()

    def note_length(self) -> None:
        """At the end of the request: how long a body was that did not say so."""
        if self._grant.rules is not None and self._request.content_length is None:
            note_length(self._grant.rules, self._client.received_bytes, self._entry.note_shadow)

    async def read_body(self) -> None:
        entry = self._entry
        self._body, self._facts = await read_body(
            self._request,
            self._client,
            self._grant,
            self._endpoint,
            is_seen=self._is_seen,
            held=self._held,
        )
        entry.model, entry.is_stream = without_secrets(self._facts.model), self._facts.is_stream
        if isinstance(self._body, bytes):
            await breathe(self._body)
        if self._runtime.directory.generation != self._generation:
            # The body has taken its time, and something was changed meanwhile: perhaps this token.
            self._generation = self._runtime.directory.generation
            await self._find_grant()
            self._route()
            self._judge()
        if self._grant.rules is not None:
            judge_body(self._grant.rules, self._request, self._endpoint, self._body, entry.note_shadow)

    async def run(self) -> None:
        """Admit the request, and forward it. Raises what `Exchange.run` does."""
        running, upstreams, transport = (
            self._runtime.running,
            self._runtime.upstreams,
            self._runtime.transport,
        )
        exchange = await self._admit()
        exchange.before_end = self.note_length
        running.add(exchange)
        if self._runtime.directory.generation != self._generation:
            running.doubt(exchange)
        try:
            if running.is_interrupted:
                raise Restarting
            if self._grant.capture is not None:
                self._capture(exchange)
            asked = ask_for_usage(self._request, self._endpoint, self._facts, self._body)
            request, self._body = asked or (self._request, self._body)  # as it was it need not stay in memory
            await exchange.run(
                upstreams,
                transport,
                request,
                self._provider,
                self._endpoint,
                self._body,
                is_asking=asked is not None,
            )
        finally:
            running.discard(exchange)
            await exchange.settle()

    async def _admit(self) -> Exchange:
        runtime, grant, request, body = self._runtime, self._grant, self._request, self._body
        body_bytes = len(body) if isinstance(body, bytes) else request.content_length or 0
        bill = Bill(grant, self._endpoint, request.method, self._facts, body_bytes, runtime.prices)
        admission.check_upstream(runtime.upstreams, grant, self._provider)
        lease = await admission.acquire(runtime.limits, grant, self._entry, bill.estimate())
        self._entry.is_admitted = True
        return Exchange(grant, lease, bill, self._client, self._entry, runtime.limits)

    def _capture(self, exchange: Exchange) -> None:
        capture = self._runtime.captures.begin(self._grant, self._entry)
        if capture is not None:
            self._body = capture.hear_request(self._request, self._body)
            exchange.hear = capture.hear_answer

    async def _find_grant(self) -> Grant:
        headers = self._request.headers
        self._grant = await admission.identify(
            self._runtime.directory, bearer(headers), self._runtime.screened(self._scope)
        )
        self._client.rewrite = allowance(self._grant.rules, headers)
        return self._grant

    def _route(self) -> None:
        self._provider = admission.provider_of(self._providers, self._grant)
        self._endpoint = policy.find_endpoint(
            self._provider.endpoints,
            self._request.method,
            self._request.path,
            permits_leading_past_us=self._grant.permits_leading_past_us,
        )

    def _judge(self) -> None:
        """What the rules refuse before the body is read."""
        rules, note = self._grant.rules, self._entry.note_shadow
        if rules is not None:
            judge_client(rules, self._scope, note, trusted_proxies=self._runtime.trusted_proxies)
            judge_request(rules, self._request, self._endpoint, self._client, note)
