"""What a grant allows of a request. Pure: facts in, a value or one ProxyError out."""

from proxy.endpoints import Endpoint, Endpoints
from proxy.errors import AuthenticationError, EndpointNotFound, Forbidden, MethodNotAllowed, TokenExpired
from tokens.grant import Grant


def check_grant(grant: Grant, now: float) -> None:
    """Whether the token may be used at all now (seconds since the epoch). Raises ProxyError."""
    check_alive(grant, now)
    if grant.idle_expires_at <= now:
        raise TokenExpired("This access token was not used for too long, and has expired. Ask for a new one.")


def check_alive(grant: Grant, now: float) -> None:
    """As `check_grant`, for a request that runs: its token is in use. Raises ProxyError."""
    if grant.token_revoked:
        raise AuthenticationError("This access token has been revoked.")
    if grant.digest_dies_at <= now:
        raise AuthenticationError("This access token has been replaced by a new one.")
    if grant.expires_at <= now:
        raise TokenExpired
    if not grant.token_active:
        raise Forbidden("token_inactive", "This access token is switched off.")
    if not grant.project_active:
        raise Forbidden("project_inactive", "The project of this access token is switched off.")


def find_endpoint(
    endpoints: Endpoints, method: str, path: str, *, permits_leading_past_us: bool = False
) -> Endpoint:
    """The allowed endpoint of a method and a raw path below /v1. Raises ProxyError."""
    endpoint = endpoints.find(path)
    if endpoint is None:
        raise EndpointNotFound
    if ("GET" if method == "HEAD" else method) not in endpoint.methods:
        raise MethodNotAllowed(endpoint.methods)
    return _permitted(endpoint, permits_leading_past_us=permits_leading_past_us)


def find_socket(endpoints: Endpoints, path: str, *, permits_leading_past_us: bool = False) -> Endpoint:
    """The endpoint that speaks WebSocket at a raw path below /v1. Raises ProxyError."""
    endpoint = endpoints.find(path)
    if endpoint is None or not endpoint.websocket:
        raise EndpointNotFound
    return _permitted(endpoint, permits_leading_past_us=permits_leading_past_us)


def _permitted(endpoint: Endpoint, *, permits_leading_past_us: bool) -> Endpoint:
    if endpoint.leads_past_us and not permits_leading_past_us:
        raise Forbidden(
            "endpoint_not_permitted",
            "This endpoint lets clients talk to upstream past this proxy, which is not permitted.",
        )
    return endpoint
