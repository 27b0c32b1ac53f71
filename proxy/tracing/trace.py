"""What one request notes for its trace while it runs: when upstream was asked, and how each attempt went.
Spans are made of it and of the entry later, elsewhere (`spans.py`): nothing that is open can leak.
"""

import random
import time
from collections.abc import Callable

from proxy.tracing.answer import Told, read_answer
from proxy.tracing.context import Parent, parent_header
from proxy.types import Headers


class Attempt:
    """One attempt at upstream."""

    __slots__ = (
        "base_url",
        "began_seconds",
        "ended_seconds",
        "error_code",
        "key_id",
        "model",
        "span_id",
        "status",
    )

    def __init__(self, base_url: str, key_id: str, model: str, began_seconds: float) -> None:
        self.span_id = new_id(8)
        self.base_url = base_url
        self.key_id = key_id
        self.model = model
        """That was asked for."""
        self.began_seconds = began_seconds
        """Since the request began, as is the next one."""
        self.ended_seconds: float | None = None
        """When the answer's head was there, or the failure; None: the request ended before."""
        self.status: int | None = None
        self.error_code = ""


class Trace:
    __slots__ = (
        "_baggage",
        "_began",
        "_tells_upstream",
        "answer",
        "attempts",
        "host",
        "is_kept",
        "parent",
        "scheme",
        "span_id",
        "trace_id",
    )

    def __init__(
        self,
        trace_id: bytes,
        parent: Parent | None,
        *,
        is_kept: bool,
        scheme: str,
        host: str,
        baggage: Headers,
        tells_upstream: bool,
    ) -> None:
        """`is_kept`: whether spans are made of it."""
        self.trace_id = trace_id
        self.span_id = new_id(8)
        """Of the request."""
        self.parent = parent
        self.is_kept = is_kept
        self.scheme = scheme
        self.host = host
        self.attempts: list[Attempt] = []
        self.answer: Told | None = None
        self._baggage = baggage
        self._tells_upstream = tells_upstream
        self._began = time.perf_counter()

    def asks(self, base_url: str, key_id: object, model: str) -> None:
        """An attempt begins."""
        if self.is_kept:
            seconds = time.perf_counter() - self._began
            self.attempts.append(Attempt(base_url, str(key_id), model, seconds))

    def was_answered(self, status: int) -> None:
        """The newest attempt has brought the head of an answer."""
        if self.attempts:
            self.attempts[-1].status = status
            self.attempts[-1].ended_seconds = time.perf_counter() - self._began

    def has_failed(self, error_code: str) -> None:
        """The newest attempt has brought none."""
        if self.attempts:
            self.attempts[-1].error_code = error_code
            self.attempts[-1].ended_seconds = time.perf_counter() - self._began

    def hears(self, reported: Callable[[], bytes], finish_reasons: tuple[str, ...]) -> None:
        """The document of upstream's answer to read, and how the choices of a stream have ended."""
        if self.attempts:
            self.answer = read_answer(reported(), finish_reasons)

    def headers_to_upstream(self) -> Headers:
        """For the newest attempt; none if upstream is not to know."""
        if not self._tells_upstream:
            return []
        span_id = self.attempts[-1].span_id if self.attempts else self.span_id
        headers = [(b"traceparent", parent_header(self.trace_id, span_id, is_sampled=self.is_kept))]
        if self.parent is not None and self.parent.state:
            headers.append((b"tracestate", self.parent.state.encode()))
        return headers + self._baggage


def new_id(size: int) -> bytes:
    return random.randbytes(size)  # noqa: S311 (no secret)
