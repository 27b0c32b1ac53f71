"""The admin's forms for projects. An upstream key goes in, and is never rendered again."""

from typing import TYPE_CHECKING, Any

from django import forms

from projects.capture import DEFAULT_RETENTION, check_capture
from projects.form_fields import LifetimeField, LimitField, NamesField, PeriodField, RulesField, UsdField
from projects.limits import BUDGETS, LIMITS, NO_LIMIT
from projects.models import Project, validate_key
from projects.policy import POLICY, UPSTREAM, check_policy
from projects.providers import check_provider

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[Any]
else:
    ModelForm = forms.ModelForm


class UpstreamKeyField(forms.CharField):
    """Write-only: the widget renders no value, even when the form comes back with an error."""

    widget = forms.PasswordInput(
        attrs={"autocomplete": "new-password", "class": "vTextField"}, render_value=False
    )
    default_validators = [validate_key]


class LimitsForm(ModelForm):
    """The limits, budgets and rules of whatever has them."""

    rules = RulesField()
    max_requests = LimitField(help_text=f"Over the whole life, such as 1000. {NO_LIMIT}")
    max_requests_per_minute = LimitField(help_text=f"Such as 60. {NO_LIMIT}")
    max_model_tokens_per_minute = LimitField(
        help_text=f"Input and output together, such as 100000. {NO_LIMIT}"
    )
    max_concurrent_requests = LimitField(help_text=f"At the same time, such as 4. {NO_LIMIT}")
    total_budget_microusd = UsdField(
        label="Total budget", help_text=f"US dollars, such as 12.50, over the whole life. {NO_LIMIT}"
    )
    daily_budget_microusd = UsdField(label="Daily budget", help_text=f"From midnight UTC. {NO_LIMIT}")
    weekly_budget_microusd = UsdField(label="Weekly budget", help_text=f"From Monday, UTC. {NO_LIMIT}")
    monthly_budget_microusd = UsdField(label="Monthly budget", help_text=f"From the 1st, UTC. {NO_LIMIT}")

    def limits(self) -> dict[str, int | None]:
        return {field: self.cleaned_data[field] for field in (*LIMITS, *BUDGETS)}


class ProjectForm(LimitsForm):
    default_ttl = LifetimeField(
        label="Default lifetime", help_text="Of its tokens, such as 15m, 24h or 7d. Empty: TOKEN_DEFAULT_TTL."
    )
    longest_ttl = LifetimeField(
        label="Longest lifetime", help_text="That a token which expires may have. Empty: 365d."
    )
    flat_price_microusd = UsdField(
        label="Flat price (USD)", help_text="Of a request whose model has no price, where that is charged."
    )

    capture_retention = PeriodField(
        label="Kept for",
        initial=DEFAULT_RETENTION,
        help_text="Such as 12h or 7d; then they are deleted. At most CAPTURE_MAX_RETENTION.",
    )
    capture_redacted = NamesField(
        label="Redacted",
        help_text="Members whose values are not kept, besides what looks like a secret; one a line, such as "
        "messages[].content, or **.content for whatever is called so.",
    )

    class Meta:
        model = Project
        fields = ["name", "base_url", *UPSTREAM, *POLICY, *LIMITS, *BUDGETS]
        help_texts = {
            "name": "Who pays, such as a team or a product: search, or shop-production.",
            "base_url": "Where its requests go, as an SDK would be given it, such as "
            "https://api.openai.com/v1. Empty: its provider's.",
            "provider": "As PROVIDERS_FILE names it, such as openai. Empty: the first that is named there.",
            "upstream_organization": "Sent as OpenAI-Organization, such as org-abc123. Empty: none is sent.",
            "upstream_project": "Sent as OpenAI-Project, such as proj_abc123. Empty: none is sent.",
        }

    def clean_base_url(self) -> str:
        return str(self.cleaned_data["base_url"]).rstrip("/")

    def clean_provider(self) -> str:
        name = str(self.cleaned_data["provider"])
        if name != self.initial.get("provider", ""):  # one that is no longer configured may stay
            check_provider(name)
        return name

    def clean(self) -> None:
        super().clean()
        if not self.errors.keys() & set(POLICY):
            project = Project(**{field: self.cleaned_data[field] for field in POLICY})
            check_policy(project)
            check_capture(project, self.changed_data)


class ProjectAddForm(ProjectForm):
    upstream_key = UpstreamKeyField(
        label="Upstream key", help_text="Sent upstream in place of the access token. Stored encrypted."
    )


class ProjectChangeForm(ProjectForm):
    upstream_key = UpstreamKeyField(
        label="Add another upstream key", required=False, help_text="Empty: none. Stored encrypted."
    )
