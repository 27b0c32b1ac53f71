"""The admin's forms for projects. An upstream key goes in, and is never rendered again."""

from typing import TYPE_CHECKING

from django import forms

from projects.models import Project, validate_key

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[Project]
else:
    ModelForm = forms.ModelForm


class UpstreamKeyField(forms.CharField):
    """Write-only: the widget renders no value, even when the form comes back with an error."""

    widget = forms.PasswordInput(
        attrs={"autocomplete": "new-password", "class": "vTextField"}, render_value=False
    )
    default_validators = [validate_key]


class ProjectForm(ModelForm):
    class Meta:
        model = Project
        fields = ["name", "base_url"]

    def clean_base_url(self) -> str:
        return str(self.cleaned_data["base_url"]).rstrip("/")


class ProjectAddForm(ProjectForm):
    upstream_key = UpstreamKeyField(
        label="Upstream key", help_text="Sent upstream in place of the access token. Stored encrypted."
    )


class ProjectChangeForm(ProjectForm):
    upstream_key = UpstreamKeyField(
        label="Add another upstream key", required=False, help_text="Empty: none. Stored encrypted."
    )
