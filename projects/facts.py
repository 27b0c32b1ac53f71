"""A project, its limits, keys and members as plain data: what commands and the management API tell."""

from typing import Any

from django.utils import timezone

from projects.access import role_of
from projects.capture import capture_facts
from projects.key_health import health_text
from projects.lifetime import ttl_text
from projects.limits import BUDGETS, LIMITS, Limited
from projects.models import Membership, Project, UpstreamKey
from projects.money import usd_text


def project_facts(project: Project) -> dict[str, Any]:
    return {
        "id": str(project.id),
        "name": project.name,
        "base_url": project.base_url or None,
        "provider": project.provider or None,
        "upstream_organization": project.upstream_organization or None,
        "upstream_project": project.upstream_project or None,
        "permits_leading_past_us": project.permits_leading_past_us,
        "is_active": project.is_active,
        "upstream_keys": [str(key) for key in project.upstream_keys.all() if key.is_active],
        "default_ttl": ttl_text(project.default_ttl) if project.default_ttl else None,
        "longest_ttl": ttl_text(project.longest_ttl) if project.longest_ttl else None,
        "permits_never": project.permits_never,
        "permits_renewal": project.permits_renewal,
        "death_policy": project.death_policy,
        "disconnect_policy": project.disconnect_policy,
        "drain_seconds": project.drain_seconds,
        "unpriced_policy": project.unpriced_policy,
        "flat_price_usd": _usd(project.flat_price_microusd),
        **limit_facts(project),
        "rules": project.rules or None,
        **capture_facts(project),
        "created_at": project.created_at.isoformat(),
    }


def limit_facts(limited: Limited) -> dict[str, Any]:
    """Limits as numbers, budgets as text in USD; None where there is none."""
    limits = {field: getattr(limited, field) for field in LIMITS}
    budgets = {field.replace("_microusd", "_usd"): _usd(getattr(limited, field)) for field in BUDGETS}
    return {**limits, **budgets}


def key_facts(key: UpstreamKey) -> dict[str, Any]:
    """Without the key itself."""
    return {
        "id": str(key.id),
        "project_id": str(key.project_id),
        "project": key.project.name,
        "name": key.name or None,
        "key": f"…{key.last_four}",
        "weight": key.weight,
        "is_active": key.is_active,
        "health": health_text(key, timezone.now()),
        "last_failure_code": key.last_failure_code or None,
        "last_failed_at": key.last_failed_at.isoformat() if key.last_failed_at else None,
        "cooling_until": key.cooling_until.isoformat() if key.cooling_until else None,
        "created_at": key.created_at.isoformat(),
    }


def member_facts(member: Membership) -> dict[str, Any]:
    return {
        "project_id": str(member.project_id),
        "project": member.project.name,
        "username": member.user.get_username(),
        "role": role_of(member.user),
        "is_active": member.user.is_active,
        "since": member.created_at.isoformat(),
    }


def _usd(microusd: int | None) -> str | None:
    return None if microusd is None else usd_text(microusd)
