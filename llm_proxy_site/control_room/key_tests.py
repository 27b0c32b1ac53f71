"""The button that tries an upstream key."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_POST

from audit.actors import of_user
from llm_proxy_site.key_tests import try_key
from projects.models import Project, UpstreamKey


@require_POST
@permission_required("projects.change_upstreamkey", raise_exception=True)
def test_upstream_key(request: HttpRequest, id: UUID) -> HttpResponse:  # noqa: A002 (of the path)
    projects = Project.objects.visible_to(request.user)
    key = get_object_or_404(UpstreamKey.objects.filter(project__in=projects).select_related("project"), pk=id)
    found = try_key(key, actor=of_user(request.user))
    level, verdict = (messages.SUCCESS, "works") if found.works else (messages.ERROR, "does not work")
    messages.add_message(request, level, f"{key} {verdict}: {found.message}")
    return HttpResponseRedirect(reverse("admin:projects_project_change", args=[key.project_id]))
