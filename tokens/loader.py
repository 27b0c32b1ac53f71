"""Reads one grant from the database: the only query on the way of a request, and only on a miss."""

import math

import structlog
from django.conf import settings

from projects.encryption import UndecryptableError
from projects.models import UpstreamKey
from tokens.grant import Grant
from tokens.models import AccessToken

log = structlog.get_logger("tokens")


def load_grant(digest: str) -> Grant | None:
    """The grant of the token with this digest; None if there is no such token. Runs in a worker thread."""
    token = AccessToken.objects.select_related("project").filter(digest=digest).first()
    if token is None:
        return None
    project = token.project
    key = UpstreamKey.objects.filter(project=project, is_active=True).first()
    return Grant(
        token_id=token.id,
        project_id=project.id,
        token_active=token.is_active,
        token_revoked=token.revoked_at is not None,
        project_active=project.is_active,
        expires_at=token.expires_at.timestamp() if token.expires_at else math.inf,
        max_requests=token.max_requests,
        request_count=token.request_count,
        base_url=project.base_url or settings.UPSTREAM_BASE_URL.rstrip("/"),
        upstream_key=_reveal(key),
    )


def _reveal(key: UpstreamKey | None) -> str | None:
    if key is None:
        return None
    try:
        return key.reveal()
    except UndecryptableError:
        log.error("upstream key cannot be decrypted", upstream_key_id=str(key.id))
        return None
