"""The admin's form for a key of the management API."""

from typing import TYPE_CHECKING

from django import forms

from llm_proxy_site.api.keys import DEFAULT_TTL
from llm_proxy_site.api.scopes import ApiScope
from llm_proxy_site.models import ApiKey
from projects.form_fields import LifetimeField
from projects.lifetime import MAX_TTL, ttl_text

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[ApiKey]
else:
    ModelForm = forms.ModelForm


class ApiKeyForm(ModelForm):
    lifetime = LifetimeField(help_text=f"At most {MAX_TTL.days}d. Empty: {ttl_text(DEFAULT_TTL)}.")
    scopes = forms.MultipleChoiceField(
        choices=[(scope, scope) for scope in map(str, ApiScope)],
        widget=forms.CheckboxSelectMultiple,
        help_text="As far as your role permits.",
    )

    class Meta:
        model = ApiKey
        fields = ["name", "scopes"]

    def clean_lifetime(self) -> object:
        lifetime = self.cleaned_data["lifetime"]
        if lifetime is not None and lifetime > MAX_TTL:
            raise forms.ValidationError(f"Its life ends: at most {MAX_TTL.days}d.")
        return lifetime or DEFAULT_TTL
