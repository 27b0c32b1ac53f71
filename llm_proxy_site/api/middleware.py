"""Whatever fails under /manage/, in a view or around it, is said in one shape; no cache keeps anything."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from llm_proxy_site.api.errors import respond_as

ROOT = "/manage"


def middleware(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    def answer(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if request.path != ROOT and not request.path.startswith(f"{ROOT}/"):
            return response
        if response.status_code >= 400 and isinstance(response, HttpResponse) and not _is_ours(response):
            response = respond_as(response)
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return answer


def _is_ours(response: HttpResponse) -> bool:
    return response.headers.get("Content-Type", "").startswith("application/json")
