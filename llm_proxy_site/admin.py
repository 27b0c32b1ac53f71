"""Keys of the management API: everybody makes their own, which can do what they can. The plain text is in one
response, nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from audit.actors import of_user
from llm_proxy_site.api.keys import create_api_key, display, revoke_api_key
from llm_proxy_site.forms import ApiKeyForm
from llm_proxy_site.models import ApiKey
from projects.access import may_administer, may_view
from projects.add_page import add_page_context

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[ApiKey]
else:
    ModelAdmin = admin.ModelAdmin

FIELDSETS: list[Any] = [(None, {"fields": ["name", "lifetime", "scopes"]})]


@admin.register(ApiKey)
class ApiKeyAdmin(ModelAdmin):
    list_display = ["name", "key", "user", "state", "expires_at", "last_used_at"]
    list_select_related = ["user"]
    search_fields = ["name", "=last_four"]
    fields = ["name", "key", "user", "scopes", "state", "expires_at", "created_at", "last_used_at"]
    readonly_fields = ["key", "state", "created_at", "last_used_at"]
    actions = ["revoke"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        keys = super().get_queryset(request)
        return keys if may_administer(_user(request)) else keys.filter(user=_user(request))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return may_view(request.user)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return may_view(request.user)

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return False

    @admin.display(description="key", ordering="last_four")
    def key(self, key: ApiKey) -> str:
        return display(key)

    @admin.display(description="state")
    def state(self, key: ApiKey) -> str:
        return key.state(timezone.now())

    @admin.action(description="Revoke selected keys", permissions=["view"])
    def revoke(self, request: HttpRequest, keys: QuerySet[ApiKey]) -> None:
        actor, now = of_user(request.user), timezone.now()
        revoked = sum(revoke_api_key(key, actor=actor, now=now) for key in keys)
        self.message_user(request, f"Revoked: {revoked}.")

    @sensitive_variables("plain")
    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Make a key. The answer to the POST shows it; a redirect would have to store it on the way."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = ApiKeyForm(request.POST if request.method == "POST" else None)
        if not form.is_valid():
            return self._add_page(request, form)
        key, plain = create_api_key(
            _user(request),
            name=form.cleaned_data["name"],
            scopes=form.cleaned_data["scopes"],
            ttl=form.cleaned_data["lifetime"],
            actor=of_user(request.user),
            now=timezone.now(),
        )
        return self._created_page(request, key, plain)

    def _add_page(self, request: HttpRequest, form: ApiKeyForm) -> HttpResponse:
        title = "Make a key of the management API"
        context = add_page_context(self, request, form, FIELDSETS, title=title)
        return self.render_change_form(request, context, add=True)

    @sensitive_variables("plain", "context")
    def _created_page(self, request: HttpRequest, key: ApiKey, plain: str) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": "The key is made",
            "opts": self.opts,
            "key": key,
            "plain": plain,
            "base_url": request.build_absolute_uri("/manage"),
            "media": self.media,
        }
        return TemplateResponse(
            request,
            "admin/llm_proxy_site/apikey/created.html",
            context,
            headers={"Cache-Control": "no-store"},
        )


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user
