"""The page that shows requests as they happen. What it shows comes through feed_socket."""

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.views.decorators.http import require_safe

from llm_proxy_site.live.routing import PATH
from llm_proxy_site.live.visitor import may_watch
from usage.live.viewer import MAX_WAITING
from usage.outcomes import Outcome


@require_safe
def live(request: HttpRequest) -> HttpResponse:
    """Raises PermissionDenied. Its filters can be given in the query, under their names."""
    if not may_watch(request.user):
        raise PermissionDenied
    context = {
        **admin.site.each_context(request),
        "title": "Live requests",
        "socket_path": PATH,
        "max_rows": MAX_WAITING,
        "outcomes": Outcome.choices,
    }
    return TemplateResponse(request, "admin/live.html", context)
