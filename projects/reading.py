"""How the admin shows lifetimes, money and rules to those who may only read: as the form would write them."""

from collections.abc import Callable, Mapping
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Model

from projects.form_fields import TextField


def for_reading(fieldsets: list[Any], fields: Mapping[str, forms.Field]) -> list[Any]:
    return [
        (title, {**options, "fields": [_shown(name, fields.get(name)) for name in options["fields"]]})
        for title, options in fieldsets
    ]


def _shown(name: str, field: forms.Field | None) -> str | Callable[[Model], str]:
    if not isinstance(field, TextField):
        return name

    @admin.display(description=field.label)
    def show(subject: Model) -> str:
        value = getattr(subject, name)
        return "-" if value in (None, {}, []) else field.write(value)

    show.__name__ = f"shown_{name}"
    return show
