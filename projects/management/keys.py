"""What the commands for upstream keys share: reading one in, finding one, and one as facts."""

import sys
from getpass import getpass
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError
from django.utils import timezone

from projects.key_health import health_text
from projects.models import UpstreamKey


def read_key(given: str) -> str:
    """`-`: from standard input; a person at a terminal is asked, and does not see what they type."""
    if given != "-":
        return given
    return (getpass("Upstream key: ") if sys.stdin.isatty() else sys.stdin.readline()).strip()


def find_key(key_id: str) -> UpstreamKey:
    """Raises CommandError, which quotes no more than an ID: it may be the key itself that was given."""
    try:
        found = UpstreamKey.objects.select_related("project").filter(pk=UUID(key_id)).first()
    except ValueError:
        raise CommandError(
            "That is no ID of an upstream key. `list_upstream_keys` shows a project's."
        ) from None
    if found is None:
        raise CommandError(f"There is no upstream key {key_id!r}. `list_upstream_keys` shows a project's.")
    return found


def key_facts(key: UpstreamKey) -> dict[str, Any]:
    """Without the key itself."""
    return {
        "id": str(key.id),
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
