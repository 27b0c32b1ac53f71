"""What the token commands share: a token as facts."""

from typing import Any

from django.utils import timezone

from tokens.models import AccessToken


def token_facts(token: AccessToken) -> dict[str, Any]:
    return {
        "id": str(token.id),
        "name": token.name,
        "display": token.display,
        "project_id": str(token.project_id),
        "project": token.project.name,
        "state": token.state(timezone.now()),
        "expires_at": token.expires_at.isoformat() if token.expires_at else None,
        "max_requests": token.max_requests,
        "request_count": token.request_count,
        "created_at": token.created_at.isoformat(),
        "last_used_at": token.last_used_at.isoformat() if token.last_used_at else None,
    }
