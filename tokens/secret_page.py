"""The page that shows a plain text, once: the answer to the POST that made it, for nothing stores it."""

from django.contrib import admin
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.views.decorators.debug import sensitive_variables

from projects.lifetime import ttl_text
from tokens.models import AccessToken
from tokens.snippets import snippets


@sensitive_variables("plain", "context")
def secret_page(request: HttpRequest, token: AccessToken, plain: str, *, title: str) -> TemplateResponse:
    context = {
        **admin.site.each_context(request),
        "title": title,
        "opts": AccessToken._meta,
        "token": token,
        "plain": plain,
        "idle_ttl": token.idle_ttl and ttl_text(token.idle_ttl),
        "snippets": snippets(request.build_absolute_uri("/v1"), plain),
    }
    return TemplateResponse(
        request,
        "admin/tokens/accesstoken/issued.html",
        context,
        headers={"Cache-Control": "no-store"},
    )
