"""How long an access token may live: what its project permits, within the bounds of every lifetime."""

from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings

from projects.lifetime import MAX_TTL, MIN_TTL, NEVER, InvalidTTLError, check_ttl, parse_ttl, ttl_text

if TYPE_CHECKING:
    from projects.models import Project

__all__ = [
    "DEFAULT_GRACE",
    "MAX_GRACE",
    "MAX_TTL",
    "MIN_TTL",
    "NEVER",
    "InvalidTTLError",
    "check_grace",
    "check_ttl",
    "default_ttl",
    "longest_ttl",
    "parse_ttl",
    "permitted_ttl",
]

DEFAULT_GRACE = timedelta(hours=1)
MAX_GRACE = timedelta(days=30)
"""How long the plain text that a rotation replaces can go on working."""


def default_ttl(project: "Project") -> timedelta:
    """The lifetime of a token for which none is asked. Never longer than the project permits."""
    ttl = project.default_ttl or settings.TOKEN_DEFAULT_TTL
    if ttl == NEVER and project.permits_never:
        return NEVER
    return min(ttl, longest_ttl(project))


def permitted_ttl(project: "Project", ttl: timedelta) -> timedelta:
    """`ttl`, if the project permits it. Raises InvalidTTLError."""
    check_ttl(ttl)
    if ttl == NEVER:
        if not project.permits_never:
            raise InvalidTTLError(f"The project {project.name} does not permit tokens that never expire.")
    elif ttl > longest_ttl(project):
        longest = ttl_text(longest_ttl(project))
        raise InvalidTTLError(f"The project {project.name} permits a lifetime of at most {longest}.")
    return ttl


def longest_ttl(project: "Project") -> timedelta:
    """The longest of those that end."""
    return project.longest_ttl or MAX_TTL


def check_grace(grace: timedelta) -> timedelta:
    if not timedelta(0) <= grace <= MAX_GRACE:
        raise InvalidTTLError(f"A grace is at least 0 and at most {MAX_GRACE.days} days.")
    return grace
