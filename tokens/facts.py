"""An access token as plain data: what commands and the management API tell."""

from datetime import datetime
from typing import Any

from django.utils import timezone

from projects.facts import limit_facts
from projects.lifetime import ttl_text
from tokens.models import AccessToken


def token_facts(token: AccessToken) -> dict[str, Any]:
    now = timezone.now()
    grace_ends_at = token.previous_digest_dies_at
    return {
        "id": str(token.id),
        "name": token.name,
        "display": token.display,
        "project_id": str(token.project_id),
        "project": token.project.name,
        "state": token.state(now),
        "ttl": ttl_text(token.ttl) if token.ttl else None,
        "expires_at": _text(token.expires_at),
        "idle_ttl": ttl_text(token.idle_ttl) if token.idle_ttl else None,
        "idle_expires_at": _text(token.idle_expires_at),
        "previous_token_dies_at": _text(grace_ends_at) if grace_ends_at and grace_ends_at > now else None,
        **limit_facts(token),
        "rules": token.rules or None,
        "request_count": token.request_count,
        "created_at": token.created_at.isoformat(),
        "renewed_at": _text(token.renewed_at),
        "last_used_at": _text(token.last_used_at),
    }


def _text(instant: datetime | None) -> str | None:
    return instant.isoformat() if instant else None
