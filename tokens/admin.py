"""Access tokens: issue, read, edit a little, revoke. The plain text is in one response and nowhere else."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import AdminErrorList, AdminForm
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from audit import trail
from audit.actors import of_user
from tokens import lifecycle
from tokens.forms import IssueForm, TokenForm
from tokens.models import AccessToken

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[AccessToken]
else:
    ModelAdmin = admin.ModelAdmin


@admin.register(AccessToken)
class AccessTokenAdmin(ModelAdmin):
    form = TokenForm
    list_display = [
        "label",
        "display",
        "project",
        "state",
        "expires_at",
        "requests",
        "last_used_at",
        "created_at",
    ]
    list_filter = ["is_active", "project"]
    list_select_related = ["project"]
    search_fields = ["name", "id", "=last_four"]
    search_help_text = "A name, an id or the last four characters; not the token itself."
    readonly_fields = [
        "id",
        "display",
        "project",
        "state",
        "requests",
        "created_at",
        "last_used_at",
        "revoked_at",
    ]
    fields = ["name", "expires_at", "max_requests", *readonly_fields]
    actions = ["revoke_selected"]

    class Media:
        css = {"all": ["llm_proxy/admin.css"]}

    @admin.display(description="name", ordering="name")
    def label(self, token: AccessToken) -> str:
        return str(token)

    @admin.display(description="token", ordering="last_four")
    def display(self, token: AccessToken) -> str:
        return token.display

    @admin.display(description="state")
    def state(self, token: AccessToken) -> str:
        return token.state(timezone.now())

    @admin.display(description="requests", ordering="request_count")
    def requests(self, token: AccessToken) -> str:
        return f"{token.request_count} / {token.max_requests or '∞'}"

    def has_change_permission(self, request: HttpRequest, obj: AccessToken | None = None) -> bool:
        """A revoked token can only be read."""
        is_revoked = obj is not None and obj.revoked_at is not None
        return not is_revoked and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: AccessToken | None = None) -> bool:
        return False

    @sensitive_variables("plain")
    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Issue a token. The answer to the POST shows it; a redirect would have to store it on the way."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = IssueForm(request.POST if request.method == "POST" else None)
        if not form.is_valid():
            return self._issue_page(request, form)
        with transaction.atomic():
            token, plain = lifecycle.issue(
                form.cleaned_data["project"],
                ttl=form.cleaned_data["lifetime"],
                name=form.cleaned_data["name"],
                max_requests=form.cleaned_data["max_requests"],
                actor=of_user(request.user),
                now=timezone.now(),
            )
            self.log_addition(request, token, [{"added": {}}])
        return self._issued_page(request, token, plain)

    def _issue_page(self, request: HttpRequest, form: IssueForm) -> HttpResponse:
        admin_form = AdminForm(form, [(None, {"fields": list(form.fields)})], {}, model_admin=self)
        context = {
            **self.admin_site.each_context(request),
            "title": "Issue an access token",
            "adminform": admin_form,
            "errors": AdminErrorList(form, []),
            "media": self.media + admin_form.media,
            "inline_admin_formsets": [],
            "is_popup": False,
        }
        return self.render_change_form(request, context, add=True)

    @sensitive_variables("plain", "context")
    def _issued_page(self, request: HttpRequest, token: AccessToken, plain: str) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": "The token is issued",
            "opts": self.opts,
            "token": token,
            "plain": plain,
            "base_url": request.build_absolute_uri("/v1"),
            "media": self.media,
        }
        return TemplateResponse(
            request,
            "admin/tokens/accesstoken/issued.html",
            context,
            headers={"Cache-Control": "no-store"},
        )

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The Revoke button is answered before the form is read: a bad value in it must not be in the way."""
        if request.method == "POST" and "_revoke" in request.POST:
            return self._revoke_one(request, object_id)
        return super().change_view(request, object_id, form_url, extra_context)

    def _revoke_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        token = self.get_object(request, unquote(object_id))
        if not self.has_change_permission(request, token):
            raise PermissionDenied
        if token is not None:
            self._revoke(request, [token])
        return HttpResponseRedirect(request.path)

    @admin.action(description="Revoke selected tokens", permissions=["change"])
    def revoke_selected(self, request: HttpRequest, tokens: QuerySet[AccessToken]) -> None:
        self._revoke(request, tokens)

    def _revoke(self, request: HttpRequest, tokens: QuerySet[AccessToken] | list[AccessToken]) -> None:
        actor, now = of_user(request.user), timezone.now()
        revoked = [token for token in tokens if lifecycle.revoke(token, actor=actor, now=now)]
        for token in revoked:
            self.log_change(request, token, "Revoked.")
        self.message_user(request, f"Revoked: {len(revoked)}.", messages.SUCCESS)

    def save_model(
        self, request: HttpRequest, token: AccessToken, form: forms.ModelForm[AccessToken], change: bool
    ) -> None:
        """Write the edited columns only: the row is counting requests, and may be revoked meanwhile."""
        if not form.changed_data:
            return
        token.save(update_fields=[*form.changed_data, "updated_at"])
        trail.record(
            "token.changed",
            token,
            actor=of_user(request.user),
            project_id=token.project_id,
            details={
                field: {"before": _fact(form.initial[field]), "after": _fact(getattr(token, field))}
                for field in form.changed_data
            },
        )


def _fact(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value
