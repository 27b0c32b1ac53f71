"""The spans of a request that has ended, of what it has noted: pure, and no longer on its path.

Of HTTP as https://opentelemetry.io/docs/specs/semconv/http/http-spans/ has it, of models' calls as
https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/openai.md does, and what is
ours as `llm_proxy.`. A path is told by its template, for it may hold what is nobody's business; no body, key,
access token, header or address of a client is told at all.
"""

from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

from proxy.tracing.attributes import Attributes, asked_for, known, used
from proxy.tracing.trace import Attempt, Trace, new_id
from usage.entry import UsageEntry
from usage.outcomes import Outcome

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNKNOWN_PATH = "/v1/{path}"
NANOSECONDS = 1_000_000_000
PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
MAX_HOST = 255
"""Characters, as a name of DNS has."""
_BROKEN = frozenset({Outcome.UPSTREAM_FAILED, Outcome.UPSTREAM_CUT, Outcome.INTERRUPTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    """Empty: it is the first of its trace."""
    state: str
    name: str
    is_server: bool = False
    """Of a request to us; else of one of ours, to upstream."""
    begins_ns: int
    """Since the epoch, as is the next one."""
    ends_ns: int
    attributes: Attributes
    is_error: bool


def spans_of_request(trace: Trace, entry: UsageEntry) -> list[Span]:
    """Of an HTTP request, or of a WebSocket: the request's, and one for each attempt at upstream."""
    attempts = [_attempt(trace, entry, number) for number in range(len(trace.attempts))]
    return [_request(trace, entry), *attempts]


def spans_of_turn(trace: Trace, entry: UsageEntry) -> list[Span]:
    """Of one turn of a conversation, within the attempt that has opened it."""
    opening = trace.attempts[-1]
    is_error = (entry.status or 0) >= HTTPStatus.BAD_REQUEST or entry.outcome in _BROKEN
    name, attributes = asked_for(entry, opening.model or entry.model)
    attributes |= _server(opening.base_url) | used(entry, None) | _identity(entry)
    attributes |= known({"error.type": _error_type(entry) if is_error or entry.error_code else None})
    return [
        Span(
            trace_id=trace.trace_id,
            span_id=new_id(8),
            parent_id=opening.span_id,
            state=_state(trace),
            name=name,
            begins_ns=_instant(entry, 0.0),
            ends_ns=_instant(entry, entry.duration_seconds),
            attributes=attributes,
            is_error=is_error,
        )
    ]


def _request(trace: Trace, entry: UsageEntry) -> Span:
    path = f"/v1{entry.endpoint}" if entry.endpoint else UNKNOWN_PATH
    method = entry.method if entry.method in METHODS else "_OTHER"
    is_error = (entry.status or 0) >= HTTPStatus.INTERNAL_SERVER_ERROR or entry.outcome in _BROKEN
    attributes = known(
        {
            "http.request.method": method,
            "url.scheme": trace.scheme,
            "url.path": path,
            "http.route": path if entry.endpoint else None,
            "http.response.status_code": entry.status,
            "http.request.body.size": entry.request_bytes or None,
            "http.response.body.size": entry.response_bytes or None,
            "error.type": _error_type(entry),
            "llm_proxy.limit": entry.limit_reached or None,
            "llm_proxy.overhead_seconds": entry.overhead_seconds,
            "llm_proxy.first_byte_seconds": entry.first_byte_seconds,
        }
    )
    attributes |= _server(f"{trace.scheme}://{trace.host}") | _identity(entry)
    name = f"{'HTTP' if method == '_OTHER' else method} {path}"
    return Span(
        trace_id=trace.trace_id,
        span_id=trace.span_id,
        parent_id=trace.parent.span_id if trace.parent is not None else b"",
        state=_state(trace),
        name=name,
        is_server=True,
        begins_ns=_instant(entry, 0.0),
        ends_ns=_instant(entry, entry.duration_seconds),
        attributes=attributes,
        is_error=is_error,
    )


def _attempt(trace: Trace, entry: UsageEntry, number: int) -> Span:
    attempt = trace.attempts[number]
    is_last = number == len(trace.attempts) - 1
    name, attributes = asked_for(entry, attempt.model)
    attributes |= _server(attempt.base_url)
    attributes |= known(
        {
            "http.request.method": entry.method,
            "url.template": entry.endpoint,
            "http.response.status_code": attempt.status,
            "http.request.resend_count": number or None,
            "llm_proxy.upstream_key.id": attempt.key_id,
        }
    )
    if is_last:
        attributes |= used(entry, trace.answer)
        attributes |= known({"llm_proxy.upstream_request.id": entry.upstream_request_id or None})
        if entry.is_stream and entry.first_byte_seconds is not None and attempt.status is not None:
            attributes["gen_ai.response.time_to_first_chunk"] = (
                entry.first_byte_seconds - attempt.began_seconds
            )
    error = _error_of(attempt, entry)
    if error:
        attributes["error.type"] = error
    return Span(
        trace_id=trace.trace_id,
        span_id=attempt.span_id,
        parent_id=trace.span_id,
        state=_state(trace),
        name=name,
        begins_ns=_instant(entry, attempt.began_seconds),
        ends_ns=_instant(entry, _end_of(attempt, entry, is_last=is_last)),
        attributes=attributes,
        is_error=bool(error),
    )


def _end_of(attempt: Attempt, entry: UsageEntry, *, is_last: bool) -> float:
    """Seconds since the request began. What has brought the answer ends with that, and with the request."""
    if attempt.ended_seconds is None or (is_last and attempt.status is not None):
        return max(attempt.began_seconds, entry.duration_seconds)
    return attempt.ended_seconds


def _error_of(attempt: Attempt, entry: UsageEntry) -> str:
    """What has become of it, if it has not brought what was asked for. A client that leaves is no error."""
    if attempt.error_code:
        return attempt.error_code
    if attempt.status is not None and attempt.status >= HTTPStatus.BAD_REQUEST:
        return str(attempt.status)
    return str(entry.outcome) if entry.outcome in _BROKEN else ""


def _error_type(entry: UsageEntry) -> str | None:
    if entry.error_code:
        return entry.error_code
    if (entry.status or 0) >= HTTPStatus.BAD_REQUEST:
        return str(entry.status)
    return str(entry.outcome) if entry.outcome != Outcome.COMPLETED else None


def _identity(entry: UsageEntry) -> Attributes:
    return known(
        {
            "llm_proxy.request.id": str(entry.id),
            "llm_proxy.project.id": str(entry.project_id) if entry.project_id else None,
            "llm_proxy.token.id": str(entry.token_id) if entry.token_id else None,
            "llm_proxy.outcome": str(entry.outcome),
            "llm_proxy.cost_usd": entry.cost_microusd / 1_000_000 if entry.cost_microusd else None,
        }
    )


def _server(url: str) -> Attributes:
    """Its name and port; none where it has none, for clients say what they like."""
    try:
        parts = urlsplit(url)
        name, port = parts.hostname, parts.port or PORTS.get(parts.scheme)
    except ValueError:
        return {}
    if not name or len(name) > MAX_HOST:
        return {}
    return known({"server.address": name, "server.port": port})


def _state(trace: Trace) -> str:
    return trace.parent.state if trace.parent is not None else ""


def _instant(entry: UsageEntry, seconds: float) -> int:
    return int((entry.started_at + seconds) * NANOSECONDS)
