"""Delete what was captured of a project, after a page that says of how many requests."""

from uuid import UUID

from django.contrib import admin, messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from audit.actors import of_user
from projects.models import Project
from usage.captures.pruning import delete_all
from usage.models import CapturedBodies


@require_http_methods(["GET", "HEAD", "POST"])
@permission_required("usage.delete_capturedbodies", raise_exception=True)
def delete_captures(request: HttpRequest, id: UUID) -> HttpResponse:  # noqa: A002 (of the path)
    project = get_object_or_404(Project.objects.visible_to(request.user), pk=id)
    if request.method == "POST":
        deleted = delete_all(project, actor=of_user(request.user))
        messages.success(request, f"Bodies were deleted of {deleted} request{'' if deleted == 1 else 's'}.")
        return HttpResponseRedirect(reverse("admin:projects_project_change", args=[project.pk]))
    context = {
        **admin.site.each_context(request),
        "title": f"Delete the bodies kept of {project}?",
        "project": project,
        "count": CapturedBodies.objects.filter(project=project).count(),
    }
    return TemplateResponse(request, "control_room/captures.html", context)
