"""One structured line for every request, or for a share of those that went well. The lines of a moment go out
in one write: a write for each would hand the interpreter's lock away in the middle of other requests.
"""

import asyncio

import msgspec

from llm_proxy_site import logs
from proxy.tracing.trace import Trace
from usage.entry import UsageEntry
from usage.sampling import is_sampled, went_well

FLUSH_SECONDS = 0.1


class AccessLog:
    def __init__(self, loop: asyncio.AbstractEventLoop, *, sample: float, slow_seconds: float) -> None:
        """Of the requests that went well in less than `slow_seconds` the share `sample` has a line; all
        others have one.
        """
        self._loop = loop
        self._sample = sample
        self._slow_seconds = slow_seconds
        self._is_on = logs.logs_info()
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None

    def write(self, entry: UsageEntry, trace: Trace | None = None) -> None:
        """The request's line, within FLUSH_SECONDS."""
        if not self._is_on:
            return
        stands_for_many = self._sample < 1 and self._is_usual(entry)
        if stands_for_many and not is_sampled(entry.id, self._sample):
            return
        facts = msgspec.structs.asdict(entry)
        del facts["begins_work"], facts["finished"]  # the ledger's
        if trace is not None:
            facts["trace_id"] = trace.trace_id.hex()
        if stands_for_many:
            facts["sampled"] = self._sample
        self._lines.append(logs.info_line("request", facts))
        if self._timer is None:
            self._timer = self._loop.call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines = self._lines, []
        logs.write_lines(lines)

    def _is_usual(self, entry: UsageEntry) -> bool:
        return entry.duration_seconds < self._slow_seconds and went_well(entry)
