"""Which browser origins any usable token allows: asked for preflights, which bring no token."""

from datetime import datetime

from django.db.models import Q

from projects.models import Project
from projects.rules import texts_of
from tokens.models import AccessToken


def load_origins(now: datetime) -> frozenset[bytes]:
    """Of the projects and tokens that are active and have rules."""
    projects = Project.objects.filter(is_active=True).exclude(rules={}).values_list("rules", flat=True)
    tokens = (
        AccessToken.objects.filter(Q(expires_at=None) | Q(expires_at__gt=now))
        .filter(is_active=True, project__is_active=True)
        .exclude(rules={})
        .values_list("rules", flat=True)
    )
    return frozenset(
        origin.encode() for rules in (*projects, *tokens) for origin in texts_of(rules, "origins")
    )
