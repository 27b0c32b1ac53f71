"""Revoke all tokens of a project, after a page that says how many they are."""

from uuid import UUID

from django.contrib import admin, messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from audit.actors import of_user
from projects.models import Project
from tokens.batches import revoke_many
from tokens.models import AccessToken


@require_http_methods(["GET", "HEAD", "POST"])
@permission_required("tokens.change_accesstoken", raise_exception=True)
def revoke_tokens(request: HttpRequest, id: UUID) -> HttpResponse:  # noqa: A002 (of the path)
    project = get_object_or_404(Project.objects.visible_to(request.user), pk=id)
    tokens = AccessToken.objects.filter(project=project)
    if request.method == "POST":
        revoked = revoke_many(tokens, actor=of_user(request.user), now=timezone.now())
        messages.success(request, f"Revoked: {revoked}.")
        return HttpResponseRedirect(reverse("admin:projects_project_change", args=[project.pk]))
    context = {
        **admin.site.each_context(request),
        "title": f"Revoke all tokens of {project}?",
        "project": project,
        "count": tokens.filter(revoked_at=None).count(),
    }
    return TemplateResponse(request, "control_room/revocation.html", context)
