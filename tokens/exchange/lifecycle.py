"""What can be done to a trust rule. Every act is one transaction with its audit event."""

from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from audit import trail
from projects.edits import fact
from projects.limits import BUDGETS, LIMITS
from projects.models import Project
from projects.policy import check_limits
from tokens.exchange.models import TrustRule
from tokens.lifetime import NEVER, InvalidTTLError, permitted_ttl

TRUST = ("name", "project", "issuer", "audience", "claims", "ttl", "is_active")
EDITABLE = (*TRUST, *LIMITS, *BUDGETS, "rules")


@transaction.atomic
def create_rule(*, actor: str, **fields: Any) -> TrustRule:
    """By the fields in EDITABLE. Raises ValidationError, by field."""
    rule = TrustRule(**fields)
    _check(rule)
    check_rule_ttl(rule.project, rule.ttl)
    rule.save(force_insert=True)
    _record("trust_rule.created", rule, actor, _facts(rule))
    return rule


@transaction.atomic
def update_rule(rule: TrustRule, *, actor: str, **edits: Any) -> bool:
    """Change it, by field; True if that was a change. What it has issued stays. Raises ValidationError."""
    rule.refresh_from_db(from_queryset=TrustRule.objects.select_for_update())
    before = _facts(rule)
    for field, value in edits.items():
        setattr(rule, field, value)
    after = _facts(rule)
    changes = {
        field: {"before": before.get(field), "after": after.get(field)}
        for field in edits
        if before.get(field) != after.get(field)
    }
    if not changes:
        return False
    _check(rule)
    if changes.keys() & {"project", "ttl"}:  # else one that is too long by now may stay: it is shortened
        check_rule_ttl(rule.project, rule.ttl)
    rule.save(update_fields=[*changes, "updated_at"])
    _record("trust_rule.changed", rule, actor, changes)
    return True


@transaction.atomic
def delete_rule(rule: TrustRule, *, actor: str) -> None:
    """What it has issued stays. Raises TrustRule.DoesNotExist: another was quicker."""
    rule.refresh_from_db(from_queryset=TrustRule.objects.select_for_update())
    _record("trust_rule.deleted", rule, actor, _facts(rule))
    rule.delete()


def _check(rule: TrustRule) -> None:
    rule.name = rule.name.strip()
    check_limits({field: getattr(rule, field) for field in (*LIMITS, *BUDGETS)})
    rule.full_clean()


def check_rule_ttl(project: Project, ttl: timedelta) -> None:
    """Raises ValidationError, under the field's name."""
    try:
        if permitted_ttl(project, ttl) == NEVER:
            raise InvalidTTLError("What is issued for the token of another must expire.")
    except InvalidTTLError as problem:
        raise ValidationError({"ttl": str(problem)}) from None


def _facts(rule: TrustRule) -> dict[str, object]:
    """What is set, as the audit trail keeps it."""
    values = {field: getattr(rule, field) for field in EDITABLE}
    values["project"] = str(rule.project_id)
    return {field: fact(value) for field, value in values.items() if value not in (None, {})}


def _record(action: str, rule: TrustRule, actor: str, details: dict[str, Any]) -> None:
    trail.record(action, rule, actor=actor, project_id=rule.project_id, details=details)
