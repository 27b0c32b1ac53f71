"""Which trace a request belongs to: https://www.w3.org/TR/trace-context/, and what upstream is told of it."""

import re
from dataclasses import dataclass

from proxy.types import Headers

CONTEXT_HEADERS = ("traceparent", "tracestate", "baggage")
MAX_STATE_BYTES = 512
"""What vendors must be able to pass on; a longer one is dropped, as the specification permits."""

_PARENT = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
_SAMPLED = 1


@dataclass(frozen=True, slots=True)
class Parent:
    """The span of the client's that the request was sent in."""

    trace_id: bytes
    span_id: bytes
    is_sampled: bool
    state: str
    """Of vendors (`tracestate`), as it came."""


def read_parent(headers: Headers) -> Parent | None:
    """None: there is none that can be understood, and a trace begins here."""
    values = [value for name, value in headers if name == b"traceparent"]
    found = _PARENT.fullmatch(values[0].strip()) if len(values) == 1 else None
    if found is None or (found[1] == b"00" and found[5]):
        return None
    state = b",".join(value for name, value in headers if name == b"tracestate")
    return Parent(
        trace_id=bytes.fromhex(found[2].decode()),
        span_id=bytes.fromhex(found[3].decode()),
        is_sampled=bool(int(found[4], 16) & _SAMPLED),
        state=state.decode("ascii", "ignore") if len(state) <= MAX_STATE_BYTES else "",
    )


def parent_header(trace_id: bytes, span_id: bytes, *, is_sampled: bool) -> bytes:
    """The value of `traceparent` for whom we ask in this span."""
    return f"00-{trace_id.hex()}-{span_id.hex()}-{'01' if is_sampled else '00'}".encode()
