"""A trust rule as plain data: what commands and the management API tell."""

from typing import Any

from projects.facts import limit_facts
from projects.lifetime import ttl_text
from tokens.exchange.models import TrustRule


def rule_facts(rule: TrustRule) -> dict[str, Any]:
    return {
        "id": str(rule.id),
        "name": rule.name,
        "project_id": str(rule.project_id),
        "project": rule.project.name,
        "is_active": rule.is_active,
        "issuer": rule.issuer,
        "audience": rule.audience,
        "claims": rule.claims,
        "ttl": ttl_text(rule.ttl),
        **limit_facts(rule),
        "rules": rule.rules or None,
        "created_at": rule.created_at.isoformat(),
        "last_used_at": rule.last_used_at.isoformat() if rule.last_used_at else None,
    }
