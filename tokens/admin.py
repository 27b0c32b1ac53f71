"""Access tokens: issue, read, edit, revoke, reactivate. The plain text is in one response, nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from audit.actors import of_user
from projects.add_page import add_page_context
from projects.admin import LIMIT_FIELDSETS, RULES_FIELDSET
from projects.lifetime import parse_period, ttl_text
from projects.list_filters import ProjectFilter
from projects.reading import for_reading
from tokens import lifecycle
from tokens.appearance import instant_text, life_bar, requests_bar, rotation_text, state_badge
from tokens.edits import edit
from tokens.exchange.admin import TrustRuleAdmin
from tokens.forms import IssueForm, TokenForm
from tokens.list_filters import EndFilter, StateFilter
from tokens.models import AccessToken
from tokens.presets import PRESETS, first_values
from tokens.secret_page import secret_page

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[AccessToken]
else:
    ModelAdmin = admin.ModelAdmin

__all__ = ["AccessTokenAdmin", "TrustRuleAdmin"]

FIELDSETS: list[Any] = [
    (None, {"fields": ["name", "project", "display", "id", "state", "revoked_at"]}),
    (
        "Lifetime",
        {
            "fields": [
                "life",
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
    """What is done to chosen tokens, by a button or an action. `do` says whether it changed anything."""

    do: Callable[..., object]
    done: str


REVOKE = Act(lifecycle.revoke, "Revoked")
REACTIVATE = Act(lifecycle.reactivate, "Reactivated")
RENEW = Act(lifecycle.renew, "Renewed")
BUTTONS = {"_revoke": REVOKE, "_reactivate": REACTIVATE, "_renew": RENEW}
GRACES = ("0s", "15m", "1h", "24h", "7d")
"""How long the plain text before a rotation may go on."""


@admin.register(AccessToken)
class AccessTokenAdmin(ModelAdmin):
    form = TokenForm
    list_display = [
        "label",
        "state",
        "life",
        "requests",
        "project",
        "display",
        "last_used_at",
    ]
    list_filter = [StateFilter, EndFilter, ("project", ProjectFilter)]
    list_select_related = ["project"]
    list_per_page = 50
    search_fields = ["name", "id", "=last_four"]
    search_help_text = "A name, an id or the last four characters; not the token itself."
    readonly_fields = [
        "id",
        "display",
        "project",
        "state",
        "life",
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

    def get_queryset(self, request: HttpRequest) -> QuerySet[AccessToken]:
        return AccessToken.objects.visible_to(request.user)

    @admin.display(description="name", ordering="name")
    def label(self, token: AccessToken) -> str:
        return str(token)

    @admin.display(description="token", ordering="last_four")
    def display(self, token: AccessToken) -> str:
        return token.display

    @admin.display(description="state")
    def state(self, token: AccessToken) -> str:
        return state_badge(token, timezone.now())

    @admin.display(description="remaining life", ordering="expires_at")
    def life(self, token: AccessToken) -> str:
        return life_bar(token, timezone.now())

    @admin.display(description="requests", ordering="request_count")
    def requests(self, token: AccessToken) -> str:
        return requests_bar(token)

    @admin.display(description="lifetime as issued")
    def issued_ttl(self, token: AccessToken) -> str:
        return ttl_text(token.ttl) if token.ttl else "-"

    @admin.display(description="idle expiry")
    def idle_until(self, token: AccessToken) -> str:
        return instant_text(token.idle_expires_at)

    @admin.display(description="rotation")
    def rotation(self, token: AccessToken) -> str:
        return rotation_text(token, timezone.now())

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
        form = IssueForm(
            request.user,
            request.POST if request.method == "POST" else None,
            initial=first_values(request.GET),
        )
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
        return secret_page(request, token, plain, title="The token is issued")

    def _issue_page(self, request: HttpRequest, form: IssueForm) -> HttpResponse:
        context = add_page_context(self, request, form, ISSUE_FIELDSETS, title="Issue an access token")
        context |= {"presets": PRESETS, "project": request.GET.get("project", "")}
        return self.render_change_form(request, context, add=True)

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
        if request.method == "POST" and "_rotate" in request.POST:
            return self._rotate(request, object_id)
        context = {
            "may_act": self.has_change_permission(request),
            "graces": GRACES,
            **(extra_context or {}),
        }
        return super().change_view(request, object_id, form_url, context)

    def _press(self, request: HttpRequest, object_id: str, act: Act) -> HttpResponse:
        token = self._to_act_on(request, object_id)
        if token is not None:
            try:
                self._do(request, [token], act)
            except lifecycle.LifecycleError as problem:
                self.message_user(request, str(problem), messages.ERROR)
        return HttpResponseRedirect(request.path)

    @sensitive_variables("plain")
    def _rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The answer to the POST shows the new plain text, as that to an issue does."""
        token = self._to_act_on(request, object_id)
        grace = request.POST.get("grace", "")
        if token is None or grace not in GRACES:
            return HttpResponseRedirect(request.path)
        try:
            with transaction.atomic():
                plain = lifecycle.rotate(
                    token, grace=parse_period(grace), actor=of_user(request.user), now=timezone.now()
                )
                self.log_change(request, token, "Rotated.")
        except lifecycle.LifecycleError as problem:
            self.message_user(request, str(problem), messages.ERROR)
            return HttpResponseRedirect(request.path)
        return secret_page(request, token, plain, title="The token is rotated")

    def _to_act_on(self, request: HttpRequest, object_id: str) -> AccessToken | None:
        if not self.has_change_permission(request):
            raise PermissionDenied
        return self.get_object(request, unquote(object_id))

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
        """Those columns only that were edited."""
        edits = {field: form.cleaned_data[field] for field in form.changed_data}
        edit(token, **edits, actor=of_user(request.user), now=timezone.now())
