"""The admin's forms for access tokens: one to issue, one to edit the little that may be edited."""

from datetime import timedelta
from typing import TYPE_CHECKING

from django import forms
from django.conf import settings
from django.contrib.admin.widgets import AdminBigIntegerFieldWidget, AdminTextInputWidget
from django.core.exceptions import ValidationError

from projects.models import Project
from tokens.lifetime import NEVER, InvalidTTLError, parse_ttl
from tokens.models import AccessToken

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[AccessToken]
else:
    ModelForm = forms.ModelForm

_UNITS = (("d", timedelta(days=1)), ("h", timedelta(hours=1)), ("m", timedelta(minutes=1)))


class LifetimeField(forms.CharField):
    """`15m`, `24h`, `7d` or `never`, cleaned to a timedelta."""

    widget = AdminTextInputWidget

    def clean(self, value: str | None) -> timedelta:
        text = super().clean(value)
        try:
            return parse_ttl(text)
        except InvalidTTLError as problem:
            raise ValidationError(str(problem)) from problem


class CapField(forms.IntegerField):
    """How many requests a token may make; empty: no limit."""

    widget = AdminBigIntegerFieldWidget

    def __init__(self) -> None:
        super().__init__(
            label="Max requests",
            required=False,
            min_value=1,
            max_value=2**63 - 1,
            help_text="Empty: no limit.",
        )


class IssueForm(ModelForm):
    project = forms.ModelChoiceField(Project.objects.filter(is_active=True))
    lifetime = LifetimeField(
        initial=lambda: ttl_text(settings.TOKEN_DEFAULT_TTL), help_text="Such as 15m, 24h or 7d, or never."
    )
    max_requests = CapField()

    class Meta:
        model = AccessToken
        fields = ["project", "name", "max_requests"]
        widgets = {"name": AdminTextInputWidget}
        help_texts = {"name": "Who or what will use it."}

    field_order = ["project", "name", "lifetime", "max_requests"]


class TokenForm(ModelForm):
    max_requests = CapField()

    class Meta:
        model = AccessToken
        fields = ["name", "expires_at", "max_requests"]


def ttl_text(ttl: timedelta) -> str:
    """The lifetime as a person would type it: parse_ttl's inverse. A single day is 24h."""
    if ttl == NEVER:
        return "never"
    for letter, unit in _UNITS:
        if not ttl % unit and (ttl > unit or letter != "d"):
            return f"{ttl // unit}{letter}"
    return f"{ttl // timedelta(seconds=1)}s"
