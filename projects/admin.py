"""Projects and their upstream keys. A project is never deleted here: it is switched off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.debug import sensitive_post_parameters

from audit.actors import of_user
from projects import lifecycle
from projects.capture import CAPTURE
from projects.forms import ProjectAddForm, ProjectChangeForm, ProjectForm
from projects.formsets import LabelledFormSet
from projects.key_health import health_text
from projects.limits import BUDGETS, LIMITS
from projects.members import MembershipInline, save_members
from projects.models import Membership, Project, UpstreamKey
from projects.policy import UPSTREAM
from projects.reading import for_reading

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Project]
    TabularInline = admin.TabularInline[UpstreamKey, Project]
else:
    ModelAdmin = admin.ModelAdmin
    TabularInline = admin.TabularInline


LIMIT_FIELDSETS: list[Any] = [("Limits", {"fields": LIMITS}), ("Budgets (USD)", {"fields": BUDGETS})]
"""For whatever has them."""
UPSTREAM_FIELDSET: Any = ("Upstream", {"fields": ["base_url", *UPSTREAM]})
CAPTURE_FIELDSET: Any = ("Bodies", {"fields": CAPTURE})
RULES_FIELDSET: Any = ("Rules", {"fields": ["rules"]})
LIFETIME_FIELDSET: Any = (
    "Lifetime",
    {"fields": ["default_ttl", "longest_ttl", "permits_never", "permits_renewal"]},
)
POLICY_FIELDSET: Any = (
    "Policy",
    {
        "fields": [
            "death_policy",
            "disconnect_policy",
            "drain_seconds",
            "unpriced_policy",
            "flat_price_microusd",
        ]
    },
)


SWITCHES = {"_activate", "_deactivate"}


class CountedProject(Protocol):
    """A row of ProjectAdmin.get_queryset()."""

    token_count: int


class UpstreamKeyInline(TabularInline):
    """The keys as `…abcd`: each has a name and a weight, can be switched off and tried; none is shown or
    deleted, and a new one is a field of the project's form.
    """

    model = UpstreamKey
    formset = LabelledFormSet
    fields = ["name", "weight", "is_active", "health", "test", "created_at"]
    readonly_fields = ["health", "test", "created_at"]
    can_delete = False

    def get_fields(self, request: HttpRequest, obj: Project | None = None) -> list[Any]:
        return [name for name in self.fields if name != "test" or self.has_change_permission(request, obj)]

    def test(self, key: UpstreamKey) -> SafeString:
        """Of a form of its own: what is typed into this one stays here."""
        url = reverse("test_upstream_key", args=[key.pk])
        button = '<button type="submit" class="button" form="key-tests" formaction="{}">Test</button>'
        return format_html(button, url)

    def health(self, key: UpstreamKey) -> str:
        return health_text(key, timezone.now())

    def has_add_permission(self, request: HttpRequest, obj: Project | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Project | None = None) -> bool:
        return False


@admin.register(Project)
class ProjectAdmin(ModelAdmin):
    list_display = ["name", "is_active", "upstream", "tokens", "created_at"]
    list_filter = ["is_active"]
    search_fields = ["name"]
    readonly_fields = ["id", "is_active", "deactivated_at", "created_at"]
    actions = ["deactivate", "activate"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Project]:
        return (
            Project.objects.visible_to(request.user)
            .annotate(token_count=Count("access_tokens"))
            .order_by("name")
        )

    @admin.display(ordering="base_url")
    def upstream(self, project: Project) -> str:
        return project.base_url or project.provider or "default"

    @admin.display(description="tokens", ordering="token_count")
    def tokens(self, project: CountedProject) -> int:
        return project.token_count

    @admin.action(description="Deactivate selected projects", permissions=["change"])
    def deactivate(self, request: HttpRequest, projects: QuerySet[Project]) -> None:
        self._set_active(request, projects, active=False)

    @admin.action(description="Activate selected projects", permissions=["change"])
    def activate(self, request: HttpRequest, projects: QuerySet[Project]) -> None:
        self._set_active(request, projects, active=True)

    def _set_active(self, request: HttpRequest, projects: QuerySet[Project], *, active: bool) -> None:
        actor, now = of_user(request.user), timezone.now()
        changed = sum(
            lifecycle.set_project_active(project, active, actor=actor, now=now) for project in projects
        )
        self.message_user(request, f"{'Activated' if active else 'Deactivated'}: {changed}.")

    def has_delete_permission(self, request: HttpRequest, obj: Project | None = None) -> bool:
        return False

    def get_inlines(self, request: HttpRequest, obj: Project | None) -> tuple[type[Any], ...]:
        return (UpstreamKeyInline, MembershipInline) if obj else ()

    def get_fieldsets(self, request: HttpRequest, obj: Project | None = None) -> list[Any]:
        shown = ["name"]
        if obj is not None:
            shown += self.readonly_fields
        if obj is None or self._may_add_key(request, obj):
            shown.append("upstream_key")
        fieldsets = [
            (None, {"fields": shown}),
            UPSTREAM_FIELDSET,
            LIFETIME_FIELDSET,
            *LIMIT_FIELDSETS,
            POLICY_FIELDSET,
            RULES_FIELDSET,
            CAPTURE_FIELDSET,
        ]
        may_write = obj is None or self.has_change_permission(request, obj)
        return fieldsets if may_write else for_reading(fieldsets, ProjectForm.base_fields)

    def get_form(
        self, request: HttpRequest, obj: Project | None = None, change: bool = False, **kwargs: Any
    ) -> type[forms.ModelForm[Project]]:
        kwargs["form"] = ProjectAddForm if obj is None else ProjectForm
        if obj is not None and self._may_add_key(request, obj):
            kwargs["form"] = ProjectChangeForm
        return super().get_form(request, obj, change, **kwargs)

    def _may_add_key(self, request: HttpRequest, project: Project) -> bool:
        may_change = self.has_change_permission(request, project)
        return may_change and request.user.has_perm("projects.add_upstreamkey")

    @method_decorator(sensitive_post_parameters("upstream_key"))
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return super().changeform_view(request, *args, **kwargs)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Our buttons are answered before the form is read: a bad value in it must not be in the way."""
        may_change = self.has_change_permission(request)
        if request.method == "POST" and SWITCHES & request.POST.keys():
            if not may_change:
                raise PermissionDenied
            projects = self.get_queryset(request).filter(pk=unquote(object_id))
            self._set_active(request, projects, active="_activate" in request.POST)
            return HttpResponseRedirect(request.path)
        return super().change_view(
            request, object_id, form_url, {"may_change": may_change, **(extra_context or {})}
        )

    def save_form(self, request: HttpRequest, form: forms.ModelForm[Project], change: bool) -> Project:
        """On the add page the project that lifecycle made takes the place of the form's."""
        project: Project = super().save_form(request, form, change)
        if change:
            return project
        return lifecycle.create_project(**form.cleaned_data, actor=of_user(request.user))

    def save_model(
        self, request: HttpRequest, project: Project, form: forms.ModelForm[Project], change: bool
    ) -> None:
        """Write the edited columns only: the row may have been switched off since it was read."""
        if not change:
            return
        actor = of_user(request.user)
        edited = {field: form.cleaned_data[field] for field in form.changed_data if field != "upstream_key"}
        lifecycle.update_project(project, **edited, actor=actor)
        if upstream_key := form.cleaned_data.get("upstream_key"):
            lifecycle.add_upstream_key(project, upstream_key, actor=actor)

    def save_formset(
        self,
        request: HttpRequest,
        form: forms.ModelForm[Project],
        formset: forms.BaseModelFormSet[Any, forms.ModelForm[Any]],
        change: bool,
    ) -> None:
        if formset.model is Membership:
            save_members(form.instance, formset, actor=of_user(request.user))
            return
        formset.save(commit=False)
        for key, edited in formset.changed_objects:
            edits = {field: getattr(key, field) for field in edited}
            lifecycle.update_upstream_key(key, **edits, actor=of_user(request.user))
