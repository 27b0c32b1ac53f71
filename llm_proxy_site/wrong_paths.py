"""A client whose base URL lacks `/v1` is told so in OpenAI's shape. People, who send no token, see a page.

It is a middleware before the one that asks for the host's name, which for clients may be any.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import is_valid_path

from llm_proxy_site.api.middleware import ROOT
from proxy.errors import EndpointNotFound

OUTSIDE = "There is nothing at this path. The API's begin with /v1/: does the base URL end in /v1?"


def middleware(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    def answer(request: HttpRequest) -> HttpResponseBase:
        if not _is_lost_client(request):
            return get_response(request)
        error = EndpointNotFound(OUTSIDE)
        return HttpResponse(error.body(), status=error.status, content_type="application/json")

    return answer


def _is_lost_client(request: HttpRequest) -> bool:
    return (
        request.headers.get("Authorization", "")[:7].lower() == "bearer "
        and not request.path.startswith(ROOT)
        and not is_valid_path(request.path_info)
    )
