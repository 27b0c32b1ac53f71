"""The admin's table of a project's members: added and removed, never edited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from projects import lifecycle
from projects.formsets import LabelledFormSet
from projects.models import Membership, Project

if TYPE_CHECKING:
    TabularInline = admin.TabularInline[Membership, Project]
else:
    TabularInline = admin.TabularInline


class MembershipInline(TabularInline):
    model = Membership
    formset = LabelledFormSet
    fields = ["user", "created_at"]
    readonly_fields = ["created_at"]
    autocomplete_fields = ["user"]
    extra = 0
    verbose_name = "member"
    verbose_name_plural = "members (superusers and the role admin see every project)"

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def save_members(
    project: Project,
    formset: forms.BaseModelFormSet[Membership, forms.ModelForm[Membership]],
    *,
    actor: str,
) -> None:
    """What the table was sent with."""
    formset.save(commit=False)
    for removed in formset.deleted_objects:
        lifecycle.remove_member(project, removed.user, actor=actor)
    for added in formset.new_objects:
        lifecycle.add_member(project, added.user, actor=actor)
