"""Begins the trace of a request, and hands on what it has noted once it has ended."""

import copy
from functools import partial

from proxy.headers import first
from proxy.tracing.context import read_parent
from proxy.tracing.exporter import Exporter
from proxy.tracing.sampler import Sampler
from proxy.tracing.spans import spans_of_request, spans_of_turn
from proxy.tracing.trace import Trace, new_id
from proxy.types import Scope
from proxy.websockets.turns import METHOD
from usage.entry import UsageEntry


class Tracer:
    def __init__(self, exporter: Exporter, sampler: Sampler, *, tells_upstream: bool) -> None:
        """`tells_upstream`: whether it gets the context."""
        self._exporter = exporter
        self._sampler = sampler
        self._tells_upstream = tells_upstream
        self.start = exporter.start
        self.stop = exporter.stop

    def begin(self, scope: Scope) -> Trace:
        """For an HTTP request, or a WebSocket."""
        headers = scope["headers"]
        parent = read_parent(headers)
        trace_id = new_id(16) if parent is None else parent.trace_id
        return Trace(
            trace_id,
            parent,
            is_kept=self._sampler.keeps(trace_id, parent),
            scheme=scope.get("scheme", "http"),
            host=(first(headers, b"host") or b"").decode("latin-1"),
            baggage=[each for each in headers if each[0] == b"baggage"] if self._tells_upstream else [],
            tells_upstream=self._tells_upstream,
        )

    def end(self, trace: Trace, entry: UsageEntry) -> None:
        """The request, or a turn of the conversation that it has opened."""
        if trace.is_kept:
            spans_of = spans_of_turn if entry.method == METHOD else spans_of_request
            # As it is now: whoever hangs up after the end changes it once more.
            self._exporter.offer(partial(spans_of, trace, copy.copy(entry)))
