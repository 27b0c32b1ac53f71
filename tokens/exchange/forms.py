"""The admin's form for trust rules."""

from typing import Any

from django.contrib.admin.widgets import AdminTextareaWidget
from django.core.exceptions import ValidationError

from projects.form_fields import LifetimeField, TextField
from projects.forms import LimitsForm
from tokens.exchange.claims import claim_lines, parse_claims
from tokens.exchange.lifecycle import EDITABLE, check_rule_ttl
from tokens.exchange.models import TrustRule

CLAIMS_HELP = """One a line, such as repository=acme/web and ref=refs/heads/main (GitHub Actions),
project_path=acme/web and ref_protected=true (GitLab), sub=system:serviceaccount:default:web (Kubernetes).
All must hold; lines of the same name are alternatives. * is any text, with slashes and colons in it, ? one
character: repository=acme/* is every repository of acme, but repository=acme* is acme-evil/web too."""


class ClaimsField(TextField):
    """Lines of `name=glob`, cleaned to what TrustRule.claims holds."""

    widget = AdminTextareaWidget

    def parse(self, text: str) -> dict[str, list[str]]:
        return parse_claims(text.splitlines())

    def write(self, value: dict[str, list[str]]) -> str:
        return "\n".join(claim_lines(value))

    def clean(self, value: str | None) -> Any:
        claims = super().clean(value)
        if not claims:
            raise ValidationError("Whose JWTs? Name a claim at least.")
        return claims


class TrustRuleForm(LimitsForm):
    claims = ClaimsField(help_text=CLAIMS_HELP)
    ttl = LifetimeField(
        label="Lifetime",
        initial="1h",
        help_text="Of each token that is issued, such as 15m or 1h; not longer than the project permits.",
    )

    class Meta:
        model = TrustRule
        fields = EDITABLE

    def clean(self) -> None:
        super().clean()
        project, ttl = self.cleaned_data.get("project"), self.cleaned_data.get("ttl")
        if "ttl" not in self.errors and ttl is None:
            self.add_error("ttl", "What is issued must expire.")
        elif project and ttl and {"project", "ttl"} & set(self.changed_data):
            check_rule_ttl(project, ttl)
