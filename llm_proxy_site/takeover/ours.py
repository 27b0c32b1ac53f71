"""What of the original becomes which row of ours, and what is here already. Nothing is saved here."""

from datetime import datetime

from django.db.models import Q

from llm_proxy_site.takeover.original import OriginalProject, OriginalToken
from projects.models import Project
from tokens.models import AccessToken

NAME = "imported"


def our_project(original: OriginalProject, now: datetime) -> Project:
    return Project(
        id=original.id,
        name=original.name.strip(),
        is_active=original.is_active,
        deactivated_at=None if original.is_active else original.deactivated_at or now,
    )


def our_token(original: OriginalToken, now: datetime) -> AccessToken:
    lifetime = original.expires_at and original.expires_at - original.created_at
    return AccessToken(
        id=original.id,
        digest=original.digest,
        prefix=original.prefix,
        last_four=original.last_four,
        project_id=original.project_id,
        name=f"{NAME} …{original.last_four}" if original.last_four else NAME,
        ttl=lifetime,
        expires_at=original.expires_at,
        max_requests=original.max_requests,
        request_count=original.request_count,
        is_active=original.is_active,
        revoked_at=None if original.is_active else original.deactivated_at or now,
        last_used_at=original.last_used_at,
    )


def is_known_project(original: OriginalProject) -> bool:
    """Here already, from an import before."""
    return Project.objects.filter(pk=original.id).exists()


def is_known_token(original: OriginalToken) -> bool:
    """Here already, be it rotated since."""
    of_it = Q(pk=original.id) | Q(digest=original.digest) | Q(previous_digest=original.digest)
    return AccessToken.objects.filter(of_it).exists()
