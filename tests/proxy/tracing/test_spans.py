"""The spans of requests that ended in unusual ways, and of clients that say strange things."""

import time
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from proxy.tracing.answer import Told
from proxy.tracing.context import Parent
from proxy.tracing.encoding import Batch
from proxy.tracing.spans import Span, spans_of_request
from proxy.tracing.trace import Trace
from usage.entry import UsageEntry
from usage.outcomes import Outcome, UsageSource


def entry(**fields: Any) -> UsageEntry:
    usual = {"method": "POST", "path": "/v1/chat/completions", "endpoint": "/chat/completions", "status": 200}
    return UsageEntry(id=uuid7(), started_at=time.time(), **(usual | {"duration_seconds": 2.0} | fields))


def trace(*, host: str = "proxy.example.com", parent: Parent | None = None) -> Trace:
    return Trace(b"t" * 16, parent, is_kept=True, scheme="https", host=host, baggage=[], tells_upstream=False)


def asked(noted: Trace, model: str = "gpt-4o", status: int | None = 200, error_code: str = "") -> Trace:
    noted.asks("https://api.openai.com/v1", "key", model)
    if status is not None:
        noted.was_answered(status)
    elif error_code:
        noted.has_failed(error_code)
    return noted


def request_of(noted: Trace, **fields: Any) -> Span:
    spans = spans_of_request(noted, entry(**fields))
    batch = Batch({})
    for span in spans:
        batch.add(span)
    assert batch.encode()
    return spans[0]


@pytest.mark.parametrize(
    ("host", "address", "port"),
    [
        ("proxy.example.com", "proxy.example.com", 443),
        ("[::1]:8000", "::1", 8000),
        ("", None, None),
        ("[::1", None, None),
        ("a:b", None, None),
        ("a:99999", None, None),
        ("x" * 1000, None, None),
        ("\xff", "\xff", 443),
    ],
)
def test_what_a_client_calls_us_is_told_if_it_is_a_host(
    host: str, address: str | None, port: int | None
) -> None:
    attributes = request_of(trace(host=host)).attributes
    assert (attributes.get("server.address"), attributes.get("server.port")) == (address, port)


def test_a_method_that_is_none_is_not_told() -> None:
    span = request_of(trace(), method="BREW", endpoint="", status=405, outcome=Outcome.REFUSED)
    assert (span.name, span.attributes["http.request.method"]) == ("HTTP /v1/{path}", "_OTHER")


@pytest.mark.parametrize(
    ("fields", "error", "is_error"),
    [
        ({"outcome": Outcome.COMPLETED}, None, False),
        ({"outcome": Outcome.COMPLETED, "status": 400}, "400", False),
        ({"outcome": Outcome.COMPLETED, "status": 500}, "500", True),
        (
            {"outcome": Outcome.REFUSED, "status": 429, "error_code": "budget_exceeded"},
            "budget_exceeded",
            False,
        ),
        ({"outcome": Outcome.REFUSED, "status": 503, "error_code": "x"}, "x", True),
        ({"outcome": Outcome.CUT, "error_code": "token_revoked"}, "token_revoked", False),
        ({"outcome": Outcome.CLIENT_CLOSED, "status": None}, "client_closed", False),
        ({"outcome": Outcome.UPSTREAM_CUT}, "upstream_cut", True),
        ({"outcome": Outcome.INTERRUPTED}, "interrupted", True),
    ],
)
def test_a_request_is_an_error_where_a_server_is_at_fault(
    fields: dict[str, Any], error: str | None, is_error: bool
) -> None:
    span = request_of(asked(trace()), **fields)
    assert (span.attributes.get("error.type"), span.is_error) == (error, is_error)


@pytest.mark.parametrize(
    ("status", "error_code", "outcome", "error"),
    [
        (200, "", Outcome.COMPLETED, None),
        (404, "", Outcome.COMPLETED, "404"),
        (None, "upstream_timeout", Outcome.UPSTREAM_FAILED, "upstream_timeout"),
        (None, "", Outcome.CLIENT_CLOSED, None),
        (200, "", Outcome.UPSTREAM_CUT, "upstream_cut"),
        (200, "", Outcome.CUT, None),
    ],
)
def test_an_attempt_is_an_error_where_it_has_not_brought_what_was_asked_for(
    status: int | None, error_code: str, outcome: Outcome, error: str | None
) -> None:
    noted = asked(trace(), status=status, error_code=error_code)
    server, attempt = spans_of_request(noted, entry(outcome=outcome))

    assert (attempt.attributes.get("error.type"), attempt.is_error) == (error, error is not None)
    assert server.begins_ns <= attempt.begins_ns <= attempt.ends_ns <= server.ends_ns


def test_what_the_proxy_estimates_is_not_told_as_if_upstream_had_said_it() -> None:
    counts = {"input_tokens": 5, "output_tokens": 7, "model": "gpt-4o"}
    for source, is_told in ((UsageSource.ESTIMATED, False), (UsageSource.PARTIAL, True)):
        _, attempt = spans_of_request(asked(trace()), entry(usage_source=source, **counts))
        assert ("gen_ai.usage.output_tokens" in attempt.attributes) is is_told
        assert ("gen_ai.response.model" in attempt.attributes) is is_told


@pytest.mark.parametrize("source", UsageSource)
def test_how_choices_ended_is_told_whether_usage_was_reported_or_not(source: UsageSource) -> None:
    noted = asked(trace())
    noted.hears(lambda: b'{"id":"chatcmpl-1"}', ("stop", "length"))
    _, attempt = spans_of_request(noted, entry(usage_source=source))

    assert attempt.attributes["gen_ai.response.id"] == "chatcmpl-1"
    assert attempt.attributes["gen_ai.response.finish_reasons"] == ("stop", "length")


def test_what_clients_and_upstreams_make_up_is_cut_short() -> None:
    noted = asked(trace(), model="m" * 5000)
    noted.answer = Told("i" * 10, ("stop",))
    _, attempt = spans_of_request(noted, entry(usage_source=UsageSource.UPSTREAM, model="n" * 5000))

    assert attempt.name == "chat " + "m" * 200
    assert attempt.attributes["gen_ai.response.model"] == "n" * 200


def test_a_state_of_vendors_goes_along() -> None:
    parent = Parent(b"t" * 16, b"p" * 8, True, "vendor=1")
    spans = spans_of_request(asked(trace(parent=parent)), entry())

    assert [span.state for span in spans] == ["vendor=1", "vendor=1"]
    assert spans[0].parent_id == parent.span_id
