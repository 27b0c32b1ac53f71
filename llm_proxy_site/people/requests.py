"""What each request of the control plane is given: an id, which it is answered with, and an origin."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from uuid_utils.compat import uuid7

from audit.origin import Origin, acting_from
from proxy.client_address import client_address

REQUEST_ID_HEADER = "x-llm-proxy-request-id"


def middleware(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    def answer(request: HttpRequest) -> HttpResponseBase:
        request_id = uuid7()
        with acting_from(Origin(address_of(request), request_id)):
            response = get_response(request)
        response[REQUEST_ID_HEADER] = str(request_id)
        return response

    return answer


def address_of(request: HttpRequest) -> str:
    """By the same rule as the data plane's; empty where it cannot be known."""
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR")
    scope = {
        "client": (request.META.get("REMOTE_ADDR") or "", 0),
        "headers": [(b"x-forwarded-for", forwarded.encode("latin-1", "replace"))] if forwarded else [],
    }
    address = client_address(scope, trusted_proxies=settings.TRUSTED_PROXY_COUNT)
    return str(address) if address else ""
