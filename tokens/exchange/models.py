"""TrustRule: whose JWTs are exchanged for access tokens of a project. SpentAssertion: a JWT that has been."""

from datetime import timedelta
from typing import Self
from uuid import UUID

from django.db import models
from django.db.models import Q
from uuid_utils.compat import uuid7

from projects.limits import Limited
from projects.models import Project
from projects.rules import validate_rules
from tokens.exchange.claims import validate_claims
from tokens.exchange.issuers import MAX_URL, validate_issuer


class TrustRuleQuerySet(models.QuerySet["TrustRule"]):
    def named(self, name_or_id: str) -> Self:
        """The rule with this id or name, as a person would type it. An id wins over a name like it."""
        try:
            by_id = self.filter(id=UUID(name_or_id))
        except ValueError:
            return self.filter(name=name_or_id)
        return by_id if by_id.exists() else self.filter(name=name_or_id)

    def active(self) -> Self:
        return self.filter(is_active=True)


class TrustRule(Limited):
    """Its limits, budgets and rules are those of each token that it lets be issued."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=100, unique=True, help_text="To tell it from the others.")
    project = models.ForeignKey(
        Project, on_delete=models.PROTECT, related_name="trust_rules", help_text="Whose tokens are issued."
    )
    issuer = models.CharField(
        max_length=MAX_URL,
        db_index=True,
        validators=[validate_issuer],
        help_text="Exactly as its JWTs have it in `iss`. GitHub Actions: "
        "https://token.actions.githubusercontent.com. GitLab: https://gitlab.com, or yours. Kubernetes: what "
        "`kubectl get --raw /.well-known/openid-configuration` says.",
    )
    audience = models.CharField(
        max_length=255,
        help_text="What JWTs must have in `aud`: a name for this proxy that the job asks for, such as "
        "https://llm-proxy.example.com. Not one that other services accept.",
    )
    claims = models.JSONField(validators=[validate_claims])
    ttl = models.DurationField("lifetime", default=timedelta(hours=1))
    rules = models.JSONField(default=dict, blank=True, validators=[validate_rules])
    is_active = models.BooleanField("active", default=True, help_text="Whether anything is issued by it.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = TrustRuleQuerySet.as_manager()

    class Meta:
        ordering = ["created_at", "id"]
        constraints = [
            *Limited.Meta.constraints,
            models.CheckConstraint(
                condition=~Q(name="") & ~Q(issuer="") & ~Q(audience=""), name="trust_rule_says_whom_it_trusts"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class SpentAssertion(models.Model):
    """Nobody can have a second token for it, through whichever process: the key is unique."""

    digest = models.CharField(primary_key=True, max_length=64)
    expires_at = models.DateTimeField(db_index=True, help_text="By then the JWT is refused for its age.")

    def __str__(self) -> str:
        return self.digest
