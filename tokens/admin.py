"""Access tokens: issue, read, edit, revoke, reactivate. The plain text is in one response, nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
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
from django.utils.formats import date_format
from django.views.decorators.debug import sensitive_variables

from audit import trail
from audit.actors import of_user
from projects.admin import LIMIT_FIELDSETS, RULES_FIELDSET
from projects.edits import differences
from projects.lifetime import ttl_text
from projects.reading import for_reading
from tokens import lifecycle
from tokens.forms import IssueForm, TokenForm
from tokens.models import AccessToken

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[AccessToken]
else:
    ModelAdmin = admin.ModelAdmin


FIELDSETS: list[Any] = [
    (None, {"fields": ["name", "project", "display", "id", "state", "revoked_at"]}),
    (
        "Lifetime",
        {
            "fields": [
                "expires_at",
                "idle_ttl",
                "idle_until",
                "issued_ttl",
                "created_at",
                "renewed_at",
                "rotation",
            ]
        },
    ),
    ("Use", {"fields": ["requests", "last_used_at"]}),
    *LIMIT_FIELDSETS,
    RULES_FIELDSET,
]
ISSUE_FIELDSETS: list[Any] = [
    (None, {"fields": ["project", "name"]}),
    ("Lifetime", {"fields": ["lifetime", "idle_ttl"]}),
    *LIMIT_FIELDSETS,
    RULES_FIELDSET,
]


@dataclass(frozen=True, slots=True)
class Act:
    """What is done to chosen tokens, by a button or an action."""

    do: Callable[..., bool]
    done: str


REVOKE = Act(lifecycle.revoke, "Revoked")
REACTIVATE = Act(lifecycle.reactivate, "Reactivated")
BUTTONS = {"_revoke": REVOKE, "_reactivate": REACTIVATE}


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
        "issued_ttl",
        "idle_until",
        "rotation",
        "created_at",
        "renewed_at",
        "last_used_at",
        "revoked_at",
    ]
    actions = ["revoke_selected", "reactivate_selected"]

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

    @admin.display(description="lifetime as issued")
    def issued_ttl(self, token: AccessToken) -> str:
        return ttl_text(token.ttl) if token.ttl else "-"

    @admin.display(description="idle expiry")
    def idle_until(self, token: AccessToken) -> str:
        return date_format(token.idle_expires_at, "DATETIME_FORMAT") if token.idle_expires_at else "-"

    @admin.display(description="rotation")
    def rotation(self, token: AccessToken) -> str:
        ends_at = token.previous_digest_dies_at
        if ends_at is None or ends_at <= timezone.now():
            return "-"
        return f"the plain text before it works until {date_format(ends_at, 'DATETIME_FORMAT')}"

    def has_change_permission(self, request: HttpRequest, obj: AccessToken | None = None) -> bool:
        """A revoked token can only be read."""
        is_revoked = obj is not None and obj.revoked_at is not None
        return not is_revoked and super().has_change_permission(request, obj)

    def get_fieldsets(self, request: HttpRequest, obj: AccessToken | None = None) -> list[Any]:
        may_write = self.has_change_permission(request, obj)
        return FIELDSETS if may_write else for_reading(FIELDSETS, TokenForm.base_fields)

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
                idle_ttl=form.cleaned_data["idle_ttl"],
                name=form.cleaned_data["name"],
                rules=form.cleaned_data["rules"],
                **form.limits(),
                actor=of_user(request.user),
                now=timezone.now(),
            )
            self.log_addition(request, token, [{"added": {}}])
        return self._issued_page(request, token, plain)

    def _issue_page(self, request: HttpRequest, form: IssueForm) -> HttpResponse:
        admin_form = AdminForm(form, ISSUE_FIELDSETS, {}, model_admin=self)
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
            "idle_ttl": token.idle_ttl and ttl_text(token.idle_ttl),
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
        """Our buttons are answered before the form is read: a bad value in it must not be in the way."""
        for button, act in BUTTONS.items():
            if request.method == "POST" and button in request.POST:
                return self._press(request, object_id, act)
        context = {"may_act": self.has_change_permission(request), **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)

    def _press(self, request: HttpRequest, object_id: str, act: Act) -> HttpResponse:
        if not self.has_change_permission(request):
            raise PermissionDenied
        token = self.get_object(request, unquote(object_id))
        if token is not None:
            self._do(request, [token], act)
        return HttpResponseRedirect(request.path)

    @admin.action(description="Revoke selected tokens", permissions=["change"])
    def revoke_selected(self, request: HttpRequest, tokens: QuerySet[AccessToken]) -> None:
        self._do(request, tokens, REVOKE)

    @admin.action(description="Reactivate selected tokens", permissions=["change"])
    def reactivate_selected(self, request: HttpRequest, tokens: QuerySet[AccessToken]) -> None:
        self._do(request, tokens, REACTIVATE)

    def _do(self, request: HttpRequest, tokens: Iterable[AccessToken], act: Act) -> None:
        actor = of_user(request.user)
        # Each at its own instant: the change poller looks back 30 s, and many take longer than that.
        changed = [token for token in tokens if act.do(token, actor=actor, now=timezone.now())]
        for token in changed:
            self.log_change(request, token, f"{act.done}.")
        self.message_user(request, f"{act.done}: {len(changed)}.", messages.SUCCESS)

    def save_model(
        self, request: HttpRequest, token: AccessToken, form: forms.ModelForm[AccessToken], change: bool
    ) -> None:
        """Write the edited columns only: the row is counting requests, and may be revoked meanwhile."""
        if not form.changed_data:
            return
        edited = [*form.changed_data, "updated_at"]
        if "expires_at" in form.changed_data:  # as lifecycle.extend: it is alive again, if it was not
            token.is_active, token.renewed_at = True, timezone.now()
            edited += ["is_active", "renewed_at"]
        token.save(update_fields=edited)
        trail.record(
            "token.changed",
            token,
            actor=of_user(request.user),
            project_id=token.project_id,
            details=differences(form.initial, token, form.changed_data),
        )
