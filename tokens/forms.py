"""The admin's forms for access tokens: one to issue, one to edit what may be edited."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminTextInputWidget
from django.utils import timezone

from projects.access import Person
from projects.form_fields import IdleLifetimeField, LifetimeField
from projects.forms import LimitsForm
from projects.limits import BUDGETS, LIMITS
from projects.models import Project
from tokens.lifetime import MIN_TTL, NEVER, InvalidTTLError, permitted_ttl
from tokens.models import AccessToken

IDLE_HELP = "It dies when it is unused for so long, such as 7d. Empty: it does not."


class IssueForm(LimitsForm):
    project = forms.ModelChoiceField(Project.objects.none())
    lifetime = LifetimeField(help_text="Such as 15m, 24h or 7d, or never. Empty: the project's default.")
    idle_ttl = IdleLifetimeField(label="Idle lifetime", help_text=IDLE_HELP)

    class Meta:
        model = AccessToken
        fields = ["project", "name", "idle_ttl", *LIMITS, *BUDGETS, "rules"]
        widgets = {"name": AdminTextInputWidget}
        help_texts = {"name": "Who or what will use it."}

    def __init__(self, user: Person, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        project = self.fields["project"]
        assert isinstance(project, forms.ModelChoiceField)
        project.queryset = Project.objects.visible_to(user).filter(is_active=True)

    def clean(self) -> None:
        super().clean()
        project, lifetime = self.cleaned_data.get("project"), self.cleaned_data.get("lifetime")
        if project and lifetime:
            _check(self, "lifetime", project, lifetime)


class TokenForm(LimitsForm):
    idle_ttl = IdleLifetimeField(label="Idle lifetime", help_text=IDLE_HELP)

    class Meta:
        model = AccessToken
        fields = ["name", "expires_at", "idle_ttl", *LIMITS, *BUDGETS, "rules"]

    def clean(self) -> None:
        """A new expiry is at most so far from now as the project permits; the one it has may stay."""
        super().clean()
        if "expires_at" not in self.changed_data or "expires_at" in self.errors:
            return
        expires_at = self.cleaned_data["expires_at"]
        ttl = NEVER if expires_at is None else max(MIN_TTL, expires_at - timezone.now())
        _check(self, "expires_at", self.instance.project, ttl)


def _check(form: LimitsForm, field: str, project: Project, ttl: timedelta) -> None:
    try:
        permitted_ttl(project, ttl)
    except InvalidTTLError as problem:
        form.add_error(field, str(problem))
