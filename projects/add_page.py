"""The admin's page for adding, around a form that asks for other things than the model has."""

from typing import Any

from django import forms
from django.contrib.admin import ModelAdmin
from django.contrib.admin.helpers import AdminErrorList, AdminForm
from django.http import HttpRequest


def add_page_context(
    admin: "ModelAdmin[Any]",
    request: HttpRequest,
    form: "forms.ModelForm[Any]",
    fieldsets: list[Any],
    *,
    title: str,
) -> dict[str, Any]:
    """For `render_change_form`."""
    admin_form = AdminForm(form, fieldsets, {}, model_admin=admin)
    return {
        **admin.admin_site.each_context(request),
        "title": title,
        "adminform": admin_form,
        "errors": AdminErrorList(form, []),
        "media": admin.media + admin_form.media,
        "inline_admin_formsets": [],
        "is_popup": False,
    }
