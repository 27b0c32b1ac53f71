"""The error contract, for every error there is; and what the documentation says of them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy import errors
from proxy.errors import Forbidden, MethodNotAllowed, ProxyError, QuotaReached, RateLimitReached

SPELT_OUT: dict[type[ProxyError], list[ProxyError]] = {
    Forbidden: [
        Forbidden(code, "Refused.")
        for code in (
            "token_inactive",
            "project_inactive",
            "model_unpriced",
            "renewal_not_permitted",
            "renewal_limit_reached",
        )
    ],
    MethodNotAllowed: [MethodNotAllowed(("GET", "POST"))],
    QuotaReached: [
        QuotaReached(code, "Used up.", retry_after_ms=None, is_reserved=False)
        for code in ("request_limit_reached", "budget_exceeded")
    ],
    RateLimitReached: [RateLimitReached("requests", "Too fast.", retry_after_ms=1500)],
}


def all_errors(kind: type[ProxyError] = ProxyError) -> Iterator[ProxyError]:
    """The data plane's; the management API has some of its own."""
    for child in kind.__subclasses__():
        if child.__module__ == ProxyError.__module__:
            yield from SPELT_OUT.get(child) or [child()]
            yield from all_errors(child)


@pytest.mark.parametrize("error", [*all_errors()], ids=lambda error: error.code)
def test_every_error_has_openais_shape_and_is_documented(error: ProxyError) -> None:
    body = json.loads(error.body())

    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["message"].endswith(".")
    assert 400 <= error.status < 600
    documented = (Path(errors.__file__).parent.parent / "docs" / "errors.md").read_text()
    assert f"| {error.status} | `{error.code}` |" in documented


def test_a_retry_that_cannot_help_is_forbidden() -> None:
    assert (b"x-should-retry", b"false") in errors.TokenExpired().headers()
    for quota in SPELT_OUT[QuotaReached]:
        assert (b"x-should-retry", b"false") in quota.headers()
    reserved = QuotaReached("budget_exceeded", "Reserved.", retry_after_ms=1000, is_reserved=True)
    assert dict(reserved.headers()) == {b"retry-after": b"1", b"retry-after-ms": b"1000"}
    assert dict(errors.UpstreamUnreachable().headers()) == {b"retry-after": b"1", b"retry-after-ms": b"1000"}


def test_retry_after_is_never_shorter_than_the_milliseconds_say() -> None:
    headers = dict(RateLimitReached("tokens", "Too fast.", retry_after_ms=1001).headers())
    assert headers == {b"retry-after": b"2", b"retry-after-ms": b"1001"}


def test_an_error_ends_a_stream_as_an_event() -> None:
    event = errors.TokenExpired().event()
    assert event.startswith(b"data: {")
    assert event.endswith(b"}\n\n")
    assert json.loads(event[6:])["error"]["code"] == "token_expired"


def test_405_names_the_methods_that_are_allowed() -> None:
    assert (b"allow", b"GET, POST") in MethodNotAllowed(("GET", "POST")).headers()
