"""The error contract, for every error there is; and what the documentation says of them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy import errors
from proxy.errors import Forbidden, MethodNotAllowed, ProxyError


def all_errors(kind: type[ProxyError] = ProxyError) -> Iterator[ProxyError]:
    for child in kind.__subclasses__():
        if child is Forbidden:
            yield Forbidden("token_inactive", "Switched off.")
            yield Forbidden("project_inactive", "Switched off.")
        else:
            yield MethodNotAllowed(("GET", "POST")) if child is MethodNotAllowed else child()
        yield from all_errors(child)


@pytest.mark.parametrize("error", [*all_errors()], ids=lambda error: error.code)
def test_every_error_has_openais_shape_and_is_documented(error: ProxyError) -> None:
    body = json.loads(error.body())

    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["message"].endswith(".")
    assert 400 <= error.status < 600
    documented = (Path(errors.__file__).parent.parent / "docs" / "api.md").read_text()
    assert f"| {error.status} | `{error.code}` |" in documented


def test_a_retry_that_cannot_help_is_forbidden() -> None:
    assert (b"x-should-retry", b"false") in errors.TokenExpired().headers()
    assert (b"x-should-retry", b"false") in errors.RequestLimitReached().headers()
    assert dict(errors.UpstreamUnreachable().headers()) == {b"retry-after": b"1"}


def test_405_names_the_methods_that_are_allowed() -> None:
    assert (b"allow", b"GET, POST") in MethodNotAllowed(("GET", "POST")).headers()
