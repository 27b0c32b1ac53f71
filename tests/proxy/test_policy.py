import math
from dataclasses import replace

import pytest

from proxy.endpoints import Endpoint, Endpoints
from proxy.errors import AuthenticationError, EndpointNotFound, Forbidden, MethodNotAllowed, TokenExpired
from proxy.policy import check_grant, find_endpoint, find_socket
from tests.grants import make_grant
from tokens.grant import Grant

GRANT = make_grant(expires_at=100.0)
ENDPOINTS = Endpoints(
    (
        Endpoint(path="/models", methods=("GET",)),
        Endpoint(path="/secrets", methods=("POST",), leads_past_us=True),
    )
)


def test_a_good_grant_passes() -> None:
    check_grant(GRANT, now=99.9)
    check_grant(replace(GRANT, expires_at=math.inf), now=1e12)


@pytest.mark.parametrize(
    ("grant", "error"),
    [
        (replace(GRANT, token_active=False, token_revoked=True), AuthenticationError),
        (replace(GRANT, token_active=False), Forbidden),
        (replace(GRANT, project_active=False), Forbidden),
        (replace(GRANT, idle_expires_at=99.0), TokenExpired),
        (replace(GRANT, digest_dies_at=99.0), AuthenticationError),
    ],
)
def test_a_dead_grant_is_refused(grant: Grant, error: type[Exception]) -> None:
    with pytest.raises(error):
        check_grant(grant, now=99.5)


def test_expiry_is_exact() -> None:
    with pytest.raises(TokenExpired):
        check_grant(GRANT, now=100.0)


def test_a_grant_does_not_show_its_key() -> None:
    assert "secret" not in repr(GRANT)


def test_head_is_allowed_where_get_is() -> None:
    assert find_endpoint(ENDPOINTS, "HEAD", "/models").path == "/models"


def test_what_is_not_listed_is_refused() -> None:
    with pytest.raises(EndpointNotFound):
        find_endpoint(ENDPOINTS, "GET", "/other")
    with pytest.raises(MethodNotAllowed) as refused:
        find_endpoint(ENDPOINTS, "POST", "/models")
    assert refused.value.allowed == ("GET",)


def test_what_leads_past_the_proxy_is_refused() -> None:
    with pytest.raises(Forbidden) as refused:
        find_endpoint(ENDPOINTS, "POST", "/secrets")
    assert refused.value.code == "endpoint_not_permitted"
    assert find_endpoint(ENDPOINTS, "POST", "/secrets", permits_leading_past_us=True).path == "/secrets"


def test_a_websocket_that_leads_past_the_proxy_is_refused() -> None:
    socket = Endpoint(path="/realtime", methods=(), websocket=True, leads_past_us=True)
    endpoints = Endpoints((socket,))
    with pytest.raises(Forbidden) as refused:
        find_socket(endpoints, "/realtime")
    assert refused.value.code == "endpoint_not_permitted"
    assert find_socket(endpoints, "/realtime", permits_leading_past_us=True) == socket


def test_only_what_speaks_websocket_can_be_opened_as_one() -> None:
    socket = Endpoint(path="/realtime", methods=(), websocket=True)
    endpoints = Endpoints((socket, Endpoint(path="/models", methods=("GET",))))
    assert find_socket(endpoints, "/realtime") == socket
    for path in ("/models", "/realtime/", "/realtime/x"):
        with pytest.raises(EndpointNotFound):
            find_socket(endpoints, path)
    with pytest.raises(MethodNotAllowed):
        find_endpoint(endpoints, "GET", "/realtime")
