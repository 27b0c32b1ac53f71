"""Every error the proxy can say, in OpenAI's shape, once.

    ProxyError
    ├── AuthenticationError     401 invalid_api_key
    │   ├── TokenExpired        401 token_expired
    │   └── SubjectTokenRefused 401 invalid_subject_token
    ├── Forbidden               403 token_inactive / model_unpriced / model_not_allowed / renewal_…
    ├── EndpointNotFound        404
    ├── MethodNotAllowed        405
    ├── RequestTimeout          408
    ├── RequestTooLarge         413
    ├── BadRequest              400
    ├── QuotaReached            429 request_limit_reached / budget_exceeded
    ├── RateLimitReached        429 rate_limit_exceeded
    ├── UpstreamKeyUnavailable  503
    ├── ProviderNotConfigured   503
    ├── UpstreamUnreachable     502
    │   └── NoFreeConnection
    ├── UpstreamUnavailable     503
    ├── UpstreamTimeout         504
    ├── ServiceUnavailable      503
    ├── IssuerUnavailable       503
    ├── Restarting              500
    └── InternalError           500

No message ever contains a token or a key, not even part of one.
"""

from typing import ClassVar

import msgspec

from proxy.types import Headers


class ProxyError(Exception):
    status: ClassVar[int] = 500
    type: str = "server_error"
    code: str = "internal_error"
    message: str = "The proxy failed to handle the request."
    param: str | None = None
    is_upstreams: ClassVar[bool] = False
    """Whether it tells of a failure of upstream, not of a refusal of ours."""
    should_retry: bool | None = None
    """What `x-should-retry` tells OpenAI's SDKs, over their own rules; None leaves it to them."""
    retry_after_ms: int | None = None

    def body(self) -> bytes:
        return msgspec.json.encode(
            {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}
        )

    def event(self) -> bytes:
        """As the last event of a stream that has begun: SDKs raise it."""
        return b"data: " + self.body() + b"\n\n"

    def headers(self) -> Headers:
        headers: Headers = []
        if self.should_retry is not None:
            headers.append((b"x-should-retry", b"true" if self.should_retry else b"false"))
        if self.retry_after_ms is not None:
            headers.append((b"retry-after", b"%d" % -(-self.retry_after_ms // 1000)))
            headers.append((b"retry-after-ms", b"%d" % self.retry_after_ms))
        return headers


class AuthenticationError(ProxyError):
    status = 401
    type = "invalid_request_error"
    code = "invalid_api_key"

    def __init__(
        self, message: str = "Invalid access token. Send a valid one as `Authorization: Bearer sk-wt-...`."
    ) -> None:
        super().__init__(message)
        self.message = message

    def headers(self) -> Headers:
        return [*super().headers(), (b"www-authenticate", b"Bearer")]


class TokenExpired(AuthenticationError):
    code = "token_expired"
    should_retry = False

    def __init__(self, message: str = "This access token has expired. Ask for a new one.") -> None:
        super().__init__(message)


class SubjectTokenRefused(AuthenticationError):
    """The JWT of another issuer that was to be exchanged for a token of ours."""

    code = "invalid_subject_token"
    param = "subject_token"
    should_retry = False


class Forbidden(ProxyError):
    status = 403
    type = "permission_error"

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class EndpointNotFound(ProxyError):
    status = 404
    type = "invalid_request_error"
    code = "endpoint_not_found"

    def __init__(
        self, message: str = "This endpoint does not exist or is not allowed by this proxy."
    ) -> None:
        super().__init__(message)
        self.message = message


class MethodNotAllowed(ProxyError):
    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"
    message = "This method is not allowed on this endpoint."

    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__(self.message)
        self.allowed = allowed

    def headers(self) -> Headers:
        return [*super().headers(), (b"allow", ", ".join(self.allowed).encode())]


class RequestTimeout(ProxyError):
    """Said by the server, of what never became a whole request."""

    status = 408
    type = "invalid_request_error"
    code = "request_timeout"

    def __init__(self, message: str = "The request did not come in time.") -> None:
        super().__init__(message)
        self.message = message


class RequestTooLarge(ProxyError):
    status = 413
    type = "invalid_request_error"
    code = "request_too_large"

    def __init__(self, message: str = "The request's body is larger than this proxy accepts.") -> None:
        super().__init__(message)
        self.message = message


class BadRequest(ProxyError):
    status = 400
    type = "invalid_request_error"
    code = "bad_request"

    def __init__(self, message: str = "The request cannot be understood.", param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


class QuotaReached(ProxyError):
    """A request cap or a budget: what is used up does not come back with the next minute."""

    status = 429
    type = "insufficient_quota"
    should_retry: bool | None = False

    def __init__(self, code: str, message: str, *, retry_after_ms: int | None, is_reserved: bool) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after_ms = retry_after_ms
        if is_reserved:
            self.should_retry = None  # running requests may leave enough


class RateLimitReached(ProxyError):
    status = 429
    code = "rate_limit_exceeded"

    def __init__(
        self, kind: str, message: str, *, retry_after_ms: int | None, limit_headers: Headers | None = None
    ) -> None:
        """`kind` is `requests` or `tokens`. Without `retry_after_ms` waiting does not help."""
        super().__init__(message)
        self.type = kind
        self.message = message
        self.retry_after_ms = retry_after_ms
        self.should_retry = False if retry_after_ms is None else None
        self._limit_headers = limit_headers or []

    def headers(self) -> Headers:
        return [*super().headers(), *self._limit_headers]


class UpstreamKeyUnavailable(ProxyError):
    status = 503
    code = "upstream_key_unavailable"
    message = "The project of this access token has no usable upstream key."
    should_retry = False


class ProviderNotConfigured(ProxyError):
    status = 503
    code = "provider_not_configured"
    message = "The provider that the project of this access token names is not configured."
    should_retry = False


class UpstreamUnreachable(ProxyError):
    is_upstreams = True
    status = 502
    code = "upstream_unreachable"
    message = "The upstream API could not be reached, or broke off before it answered."
    retry_after_ms = 1000

    def __init__(self, *, was_connected: bool = False) -> None:
        super().__init__(self.message)
        self.was_connected = was_connected


class NoFreeConnection(UpstreamUnreachable):
    """All that UPSTREAM_MAX_CONNECTIONS allows are busy: that is not upstream's doing."""


class UpstreamUnavailable(ProxyError):
    """Nobody has asked upstream: it has failed too often just now."""

    is_upstreams = True
    status = 503
    code = "upstream_unavailable"
    message = "The upstream API has failed too often just now. The proxy will try it again soon."

    def __init__(self, retry_after_seconds: float = 1.0) -> None:
        super().__init__(self.message)
        self.retry_after_ms = max(1000, round(retry_after_seconds * 1000))


class UpstreamTimeout(ProxyError):
    is_upstreams = True
    status = 504
    code = "upstream_timeout"
    message = "The upstream API did not begin to answer in time."

    def __init__(self, *, was_sent: bool = True) -> None:
        """`was_sent`: upstream has taken the whole request, and may have worked on it."""
        super().__init__(self.message)
        self.was_sent = was_sent


class ServiceUnavailable(ProxyError):
    status = 503
    code = "service_unavailable"
    message = "The proxy cannot check access tokens and their limits at the moment."
    retry_after_ms = 1000


class IssuerUnavailable(ProxyError):
    status = 503
    code = "issuer_unavailable"
    message = "The keys of the subject token's issuer cannot be read at the moment."
    retry_after_ms = 15_000


class Restarting(ProxyError):
    """The server stops, and waits no longer for the request's end. Upstream may have worked on it, which a
    gateway between us and the client would take a 503 to deny.
    """

    status = 500
    code = "restarting"
    message = "The proxy restarts, and could not wait for the end of this request. Ask again."
    retry_after_ms = 1000


class InternalError(ProxyError):
    pass
