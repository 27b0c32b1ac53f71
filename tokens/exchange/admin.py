"""Trust rules: whose JWTs are exchanged for access tokens. None holds a secret. Members of a project read its
rules; who may write them, writes those of projects that they see.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.db.models import ForeignKey, QuerySet
from django.http import HttpRequest

from audit.actors import of_user
from projects.access import within_reach
from projects.admin import LIMIT_FIELDSETS, RULES_FIELDSET
from projects.lifetime import ttl_text
from projects.list_filters import ProjectFilter
from projects.models import Project
from projects.reading import for_reading
from tokens.exchange import lifecycle
from tokens.exchange.claims import claim_lines
from tokens.exchange.forms import TrustRuleForm
from tokens.exchange.models import TrustRule

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[TrustRule]
else:
    ModelAdmin = admin.ModelAdmin

FIELDSETS: list[Any] = [
    (None, {"fields": ["name", "is_active", "last_used_at"]}),
    ("Whom it trusts", {"fields": ["issuer", "audience", "claims"]}),
    ("What is issued", {"fields": ["project", "ttl"]}),
    *LIMIT_FIELDSETS,
    RULES_FIELDSET,
]


@admin.register(TrustRule)
class TrustRuleAdmin(ModelAdmin):
    form = TrustRuleForm
    list_display = ["name", "project", "issuer", "wanted", "lifetime", "is_active", "last_used_at"]
    list_filter = ["is_active", ("project", ProjectFilter)]
    list_select_related = ["project"]
    search_fields = ["name", "issuer", "audience"]
    readonly_fields = ["last_used_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[TrustRule]:
        return within_reach(super().get_queryset(request), request.user)

    def formfield_for_foreignkey(
        self, db_field: ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> forms.ModelChoiceField[Any] | None:
        """Its one foreign key is the project."""
        visible = Project.objects.visible_to(request.user)
        return super().formfield_for_foreignkey(db_field, request, queryset=visible, **kwargs)

    @admin.display(description="claims")
    def wanted(self, rule: TrustRule) -> str:
        return ", ".join(claim_lines(rule.claims))

    @admin.display(description="lifetime", ordering="ttl")
    def lifetime(self, rule: TrustRule) -> str:
        return ttl_text(rule.ttl)

    def get_fieldsets(self, request: HttpRequest, obj: TrustRule | None = None) -> list[Any]:
        may_write = obj is None or self.has_change_permission(request, obj)
        return FIELDSETS if may_write else for_reading(FIELDSETS, TrustRuleForm.base_fields)

    def save_form(self, request: HttpRequest, form: forms.ModelForm[TrustRule], change: bool) -> TrustRule:
        """On the add page the rule that lifecycle made takes the place of the form's."""
        rule: TrustRule = super().save_form(request, form, change)
        if change:
            return rule
        return lifecycle.create_rule(**form.cleaned_data, actor=of_user(request.user))

    def save_model(
        self, request: HttpRequest, rule: TrustRule, form: forms.ModelForm[TrustRule], change: bool
    ) -> None:
        if change:
            edited = {field: form.cleaned_data[field] for field in form.changed_data}
            lifecycle.update_rule(rule, **edited, actor=of_user(request.user))

    def delete_model(self, request: HttpRequest, rule: TrustRule) -> None:
        lifecycle.delete_rule(rule, actor=of_user(request.user))

    def delete_queryset(self, request: HttpRequest, rules: QuerySet[TrustRule]) -> None:
        for rule in rules:
            lifecycle.delete_rule(rule, actor=of_user(request.user))
