"""What one project or one token has used, with charts."""

from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.utils import timezone

from llm_proxy_site.control_room.budgets import budgets_of
from llm_proxy_site.control_room.rankings import most_used_of
from llm_proxy_site.control_room.spans import shown
from llm_proxy_site.control_room.usage_summary import summary
from projects.models import Project
from tokens.models import AccessToken
from usage.rollups import Scope


def project_usage(request: HttpRequest, id: UUID) -> HttpResponse:  # noqa: A002 (of the path)
    project = get_object_or_404(Project.objects.visible_to(request.user), pk=id)
    return _page(request, project, Scope(project_id=project.pk))


def token_usage(request: HttpRequest, id: UUID) -> HttpResponse:  # noqa: A002 (of the path)
    token = get_object_or_404(AccessToken.objects.visible_to(request.user), pk=id)
    return _page(request, token, Scope(token_id=token.pk))


def _page(request: HttpRequest, subject: Project | AccessToken, scope: Scope) -> HttpResponse:
    if not request.user.has_perm("usage.view_usagerecord"):
        raise PermissionDenied
    now = timezone.now()
    over = shown(request.GET, now)
    context = {
        **admin.site.each_context(request),
        "title": f"Usage of {subject}",
        "subject": subject,
        "opts": subject._meta,
        "over": over,
        "summary": summary(over, scope),
        "rankings": most_used_of(over.span, scope),
        "budgets": budgets_of(subject, now),
        "records": f"{'project' if isinstance(subject, Project) else 'token'}__id__exact={subject.pk}",
    }
    return TemplateResponse(request, "control_room/usage_page.html", context)
