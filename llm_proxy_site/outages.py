"""What a person is told while the database does not answer: 503, when to try again, and no traceback."""

import sys
from collections.abc import Callable

import structlog
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.views.defaults import server_error

from llm_proxy_site.secret_forms import without_secrets

RETRY_AFTER_SECONDS = 5
PAGE = """<!doctype html>
<html lang="en">
<title>Not available</title>
<h1>Not available at the moment</h1>
<p>The database does not answer. Nothing was changed. Try again in a moment.</p>
</html>
"""

log = structlog.get_logger("server")


class DatabaseOutageMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Of views and templates."""
        return _unavailable(request, exception) if _is_outage(exception) else None


def handler500(request: HttpRequest) -> HttpResponse:
    """Of what fails around them, such as the session's end."""
    exception = sys.exc_info()[1]
    if exception is not None and _is_outage(exception):
        return _unavailable(request, exception)
    return server_error(request)


def _is_outage(exception: BaseException) -> bool:
    return isinstance(exception, OperationalError | InterfaceError)


def _unavailable(request: HttpRequest, exception: BaseException) -> HttpResponse:
    log.error(
        "a page cannot be shown without the database",
        path=without_secrets(request.path),
        error=str(exception),
    )
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS), "Cache-Control": "no-store"}
    return HttpResponse(PAGE, status=503, headers=headers)
