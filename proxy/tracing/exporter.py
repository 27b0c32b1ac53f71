"""Sends spans to the collector, from a thread of its own. Requests never wait for it: what waits is bounded,
and what there is no room for is dropped, and counted. The log says once that the collector fails, and once
that it is back.
"""

import ssl
import time
from collections import deque
from collections.abc import Callable, Mapping
from threading import Event, Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import structlog

from proxy.tracing.spans import Span

if TYPE_CHECKING:
    from proxy.tracing.encoding import Batch

BATCH_SECONDS = 1.0
MAX_BATCH = 512
"""Requests that are sent together."""
MAX_WAITING = 4096
"""Requests that wait; what comes then takes the place of the oldest."""
TIMEOUT = httpx.Timeout(10.0, connect=5.0)
MAX_ANSWER_BYTES = 64 * 1024
MAX_ANSWER_SECONDS = 10.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
"""Between two attempts with the same spans, and twice as long each time."""
STOP_SECONDS = 3.0
"""What is left may take so long at the end."""
TELL_SECONDS = 60.0
YIELD_AFTER, YIELD_SECONDS = 8, 0.0001
"""After so many requests the interpreter's lock is given away: those that run must not wait for a batch."""
_PASSING = frozenset({429, 502, 503, 504})
"""https://opentelemetry.io/docs/specs/otlp/#retryable-response-codes"""

Source = Callable[[], list[Span]]

log = structlog.get_logger("proxy")


class _Trouble(Exception):
    def __init__(self, reason: str, *, may_pass: bool) -> None:
        super().__init__(reason)
        self.may_pass = may_pass


class Exporter:
    def __init__(
        self, endpoint: str, headers: Mapping[str, str], *, resource: Mapping[str, Any], ca_file: str = ""
    ) -> None:
        """`resource`: what all spans say of who has made them. `ca_file`: of the collector's authority."""
        self._endpoint = endpoint
        self._headers = {**headers, "content-type": "application/x-protobuf"}
        self._resource = resource
        self._ca_file = ca_file
        self._waiting: deque[Source] = deque(maxlen=MAX_WAITING)
        self._overflowed = 0
        """Of requests: dropped by who offers."""
        self._failed = 0
        """Dropped by the thread."""
        self._in_hand = 0
        """What the thread is about to send."""
        self._told = 0
        """How many of both the log has told."""
        self._told_at = float("-inf")
        self._is_troubled = False
        self._is_puzzled = False
        self._wake = Event()
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="traces", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def offer(self, source: Source) -> None:
        """`source` gives the spans; it is called in the thread. Never waits."""
        if len(self._waiting) == MAX_WAITING:
            self._overflowed += 1
        self._waiting.append(source)
        if len(self._waiting) >= MAX_BATCH:
            self._wake.set()

    def stop(self) -> None:
        """Send what is left, within STOP_SECONDS. Blocks so long."""
        self._stopping.set()
        self._wake.set()
        self._thread.join(STOP_SECONDS)
        unsent = self._dropped + self._in_hand + len(self._waiting)
        if unsent:
            log.warning("traces are not sent", requests=unsent)

    @property
    def _dropped(self) -> int:
        """Since the log has told of it."""
        return self._overflowed + self._failed - self._told

    def _run(self) -> None:
        try:
            from proxy.tracing.encoding import Batch  # late: 0.2 s, in which requests go on

            verify = ssl.create_default_context(cafile=self._ca_file) if self._ca_file else True
            with httpx.Client(headers=self._headers, timeout=TIMEOUT, verify=verify) as client:
                is_last = False
                while not is_last:
                    self._wake.wait(BATCH_SECONDS)
                    self._wake.clear()
                    is_last = self._stopping.is_set()
                    while self._waiting:
                        self._send(client, Batch(self._resource))
        except Exception:  # the thread's edge: requests go on without traces
            log.exception("traces have failed")

    def _send(self, client: httpx.Client, batch: "Batch") -> None:
        self._in_hand = min(len(self._waiting), MAX_BATCH)
        for number in range(self._in_hand):
            self._fill(batch, self._waiting.popleft())
            if number % YIELD_AFTER == 0:
                time.sleep(YIELD_SECONDS)
        if self._deliver(client, batch.encode()):
            self._note_success()
        else:
            self._failed += self._in_hand
        self._in_hand = 0

    def _fill(self, batch: "Batch", source: Source) -> None:
        try:
            for span in source():
                batch.add(span)
        except Exception:  # whatever a client has said: its own trace is lost, not those of others
            self._failed += 1
            if not self._is_puzzled:
                self._is_puzzled = True
                log.exception("a trace cannot be told, nor any like it")

    def _deliver(self, client: httpx.Client, body: bytes) -> bool:
        """Whether the collector has taken it, at last."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                self._post(client, body)
            except _Trouble as trouble:
                self._note(trouble)
                if not trouble.may_pass or self._stopping.wait(pause):
                    return False
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            else:
                return True

    def _post(self, client: httpx.Client, body: bytes) -> None:
        """Raises _Trouble."""
        from proxy.tracing.encoding import read_rejected

        try:
            with client.stream("POST", self._endpoint, content=body) as response:
                answer = _read(response)
        except httpx.HTTPError as problem:  # its text may repeat headers, which are secrets
            raise _Trouble(type(problem).__name__, may_pass=True) from None
        if not response.is_success:
            may_pass = response.status_code in _PASSING
            raise _Trouble(f"it answers {response.status_code}", may_pass=may_pass)
        rejected = read_rejected(answer)
        if rejected is None:
            raise _Trouble("it does not answer as a collector", may_pass=False)
        if rejected:
            raise _Trouble(f"it rejects {rejected} spans", may_pass=False)

    def _note(self, trouble: _Trouble) -> None:
        if not self._is_troubled:
            self._is_troubled = True
            log.warning(
                "traces cannot be sent", collector=urlsplit(self._endpoint).hostname, reason=str(trouble)
            )

    def _note_success(self) -> None:
        dropped, now = self._dropped, time.monotonic()
        if self._is_troubled:
            log.info("traces are sent again", dropped=dropped)
        elif dropped and now - self._told_at > TELL_SECONDS:
            log.warning("traces are dropped: more come than the collector takes", dropped=dropped)
        else:
            return
        self._is_troubled, self._told_at = False, now
        self._told += dropped


def _read(response: httpx.Response) -> bytes:
    """The beginning of its body: a collector says little, and whoever says more is none."""
    ends_at = time.monotonic() + MAX_ANSWER_SECONDS
    body = b""
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES or time.monotonic() > ends_at:
            break
    return body
