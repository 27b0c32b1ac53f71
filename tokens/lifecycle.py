"""What can be done to an access token. Every act is one transaction with its audit event."""

from datetime import datetime, timedelta

from django.db import transaction

from audit import trail
from projects.models import Project
from tokens import format as token_format
from tokens.lifetime import NEVER, check_ttl
from tokens.models import AccessToken


class ProjectInactiveError(Exception):
    """A token cannot be issued for a project that is switched off."""


@transaction.atomic
def issue(
    project: Project,
    *,
    ttl: timedelta,
    name: str = "",
    max_requests: int | None = None,
    actor: str,
    now: datetime,
) -> tuple[AccessToken, str]:
    """A new token and its plain text, the only moment that exists. `max_requests` None or 0: no limit.

    Raises InvalidTTLError, ProjectInactiveError, and ValidationError for a bad name or limit.
    """
    check_ttl(ttl)
    if not project.is_active:
        raise ProjectInactiveError(f"The project {project.name} is not active.")
    token_id, plain = token_format.generate()
    token = AccessToken(
        id=token_id,
        digest=token_format.digest(plain),
        last_four=plain[-4:],
        project=project,
        name=name.strip(),
        expires_at=None if ttl == NEVER else now + ttl,
        max_requests=max_requests or None,
    )
    token.full_clean()
    token.save(force_insert=True)
    trail.record(
        "token.issued",
        token,
        actor=actor,
        project_id=project.id,
        details={
            "expires_at": token.expires_at.isoformat() if token.expires_at else None,
            "max_requests": token.max_requests,
        },
    )
    return token, plain


@transaction.atomic
def revoke(token: AccessToken, *, actor: str, now: datetime) -> bool:
    """End a token for good; True if it was not revoked yet. Every process refuses it within 2 s."""
    changed = AccessToken.objects.filter(pk=token.pk, revoked_at=None).update(
        is_active=False, revoked_at=now, updated_at=now
    )
    token.refresh_from_db(fields=["is_active", "revoked_at", "updated_at"])
    if changed:
        trail.record("token.revoked", token, actor=actor, project_id=token.project_id)
    return bool(changed)
