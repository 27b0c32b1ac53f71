"""People and their groups, as Django's admin has them, with each change in the audit trail."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import Manager, Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from audit import trail
from audit.actors import of_user
from llm_proxy_site.people import second_factor
from llm_proxy_site.sso import accounts

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    DjangoUserAdmin = UserAdmin[User]
else:
    DjangoUserAdmin = UserAdmin
    ModelAdmin = admin.ModelAdmin

SECRETS = {"password", "password1", "password2", "usable_password"}
"""Fields whose values are kept nowhere."""

for theirs in (User, Group, TOTPDevice, StaticDevice):  # the last two would show secrets
    admin.site.unregister(theirs)


class Audited(ModelAdmin):
    """Each addition, change and deletion is an event. Django's admin makes one transaction of both."""

    def save_related(
        self, request: HttpRequest, form: forms.ModelForm[Any], formsets: Iterable[Any], change: bool
    ) -> None:
        super().save_related(request, form, formsets, change)
        details = _changes(form)
        if details or not change:
            self.record("changed" if change else "added", request, form.instance, details)

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        self.record("removed", request, obj)
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for obj in queryset:
            self.record("removed", request, obj)
        super().delete_queryset(request, queryset)

    def record(
        self, act: str, request: HttpRequest, subject: Model, details: dict[str, Any] | None = None
    ) -> None:
        trail.record(
            f"{subject._meta.model_name}.{act}", subject, actor=of_user(request.user), details=details
        )


@admin.register(User)
class PeopleAdmin(Audited, DjangoUserAdmin):
    list_display = ["username", "email", "roles", "is_active", "is_staff", "is_superuser", "last_login"]

    actions = ["remove_second_factor", "unlink_single_sign_on"]

    @admin.action(description="Remove the second factor of selected users", permissions=["change"])
    def remove_second_factor(self, request: HttpRequest, users: QuerySet[User]) -> None:
        """For who has lost their app and their recovery codes."""
        removed = sum(second_factor.remove(user, actor=of_user(request.user)) for user in users)
        self.message_user(request, f"Removed: {removed}.")

    @admin.action(description="Unlink selected users from single sign-on", permissions=["change"])
    def unlink_single_sign_on(self, request: HttpRequest, users: QuerySet[User]) -> None:
        """For who is somebody else at the provider by now."""
        unlinked = sum(accounts.unlink(user, actor=of_user(request.user)) for user in users)
        self.message_user(request, f"Unlinked: {unlinked}.")

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or not obj.identities.exists():
            return fieldsets
        return [*fieldsets, ("Single sign-on", {"fields": ["known_as"]})]

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        return [*super().get_readonly_fields(request, obj), "known_as"]

    @admin.display(description="known as")
    def known_as(self, user: User) -> str:
        return ", ".join(map(str, user.identities.all()))

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    @admin.display(description="roles")
    def roles(self, user: User) -> str:
        return ", ".join(group.name for group in user.groups.all())

    @transaction.atomic
    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:  # noqa: A002 (Django's name)
        """Somebody's, by somebody who may change people."""
        passwords = User.objects.filter(pk=unquote(id)).values_list("password", flat=True)
        before = passwords.first()
        answer = super().user_change_password(request, id, form_url)
        if passwords.first() != before:
            self.record("password_changed", request, User.objects.get(pk=unquote(id)))
        return answer


@admin.register(Group)
class GroupsAdmin(Audited, GroupAdmin):
    pass


def _changes(form: forms.ModelForm[Any]) -> dict[str, Any]:
    """By field, what was and what is. Django takes the same instant, typed again, for a change."""
    edited = [field for field in form.changed_data if field not in SECRETS]
    facts = {
        field: {"before": _fact(form.initial.get(field)), "after": _fact(form.cleaned_data[field])}
        for field in edited
    }
    return {field: fact for field, fact in facts.items() if fact["before"] != fact["after"]}


def _fact(value: object) -> object:
    """A field's value as JSON can hold it: many rows as their names."""
    if isinstance(value, QuerySet | Manager | list | tuple):
        rows = value.all() if isinstance(value, QuerySet | Manager) else value
        return sorted(map(str, rows))
    return value if isinstance(value, bool | int | str | None) else str(value)
