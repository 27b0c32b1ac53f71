"""What the management API says when it refuses, in the shape of all our errors (proxy/errors.py)."""

from django.http import HttpResponse

from proxy.errors import (
    AuthenticationError,
    BadRequest,
    Forbidden,
    InternalError,
    MethodNotAllowed,
    ProxyError,
    RateLimitReached,
    RequestTooLarge,
)

__all__ = [
    "AuthenticationError",
    "BadRequest",
    "Forbidden",
    "Invalid",
    "NotFound",
    "NotPossible",
    "RateLimitReached",
    "respond",
    "respond_as",
]


class NotFound(ProxyError):
    """There is no such thing, or it is of a project that the caller does not see: the same answer."""

    status = 404
    type = "invalid_request_error"
    code = "not_found"

    def __init__(self, what: str = "such path") -> None:
        self.message = f"There is no {what}."
        super().__init__(self.message)


class NotPossible(ProxyError):
    """It is understood, and stands against the state that things are in."""

    status = 409
    type = "invalid_request_error"

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Invalid(ProxyError):
    status = 422
    type = "invalid_request_error"

    def __init__(self, message: str, param: str | None = None, *, code: str = "invalid_value") -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code


class DatabaseAway(ProxyError):
    status = 503
    code = "service_unavailable"
    message = "The database does not answer. Nothing was changed."
    retry_after_ms = 5000


def respond(error: ProxyError) -> HttpResponse:
    response = HttpResponse(error.body(), status=error.status, content_type="application/json")
    for name, value in error.headers():
        response.headers[name.decode()] = value.decode()
    return response


def respond_as(page: HttpResponse) -> HttpResponse:
    """In our shape, what Django or django-ninja say as a page or as text."""
    return respond(_error_of(page))


def _error_of(page: HttpResponse) -> ProxyError:
    match page.status_code:
        case 404:
            return NotFound()
        case 405:
            return MethodNotAllowed(tuple(sorted(page.headers.get("Allow", "").split(", "))))
        case 413:
            return RequestTooLarge()
        case 503:
            return DatabaseAway()
        case status if status < 500:
            return BadRequest()
    return InternalError()
