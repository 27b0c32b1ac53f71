"""Tokens whose end is near."""

from datetime import datetime, timedelta

from llm_proxy_site.control_room.figures import remaining
from tokens.models import AccessToken
from usage.rollups import Scope

SOON = timedelta(hours=24)
COUNT = 8


def expiring_soon(scope: Scope, now: datetime) -> list[tuple[AccessToken, str]]:
    """Alive now, not in a day, and what is left; of those that live for a day or more, nearest first."""
    tokens = AccessToken.objects.filter(is_active=True, expires_at__gt=now, expires_at__lte=now + SOON)
    if scope.project_ids is not None:
        tokens = tokens.filter(project_id__in=scope.project_ids)
    found = tokens.filter(ttl__gte=SOON).select_related("project").order_by("expires_at")[:COUNT]
    return [(token, remaining(token.expires_at - now)) for token in found if token.expires_at]
