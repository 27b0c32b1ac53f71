"""What the commands for upstream keys share: reading one in, and finding one."""

import sys
from getpass import getpass
from uuid import UUID

from django.core.management.base import CommandError

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
