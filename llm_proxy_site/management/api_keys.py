"""What the commands for keys of the management API share: finding one, and one as facts."""

from typing import Any
from uuid import UUID

from django.core.management.base import CommandError
from django.utils import timezone

from llm_proxy_site.api.keys import display
from llm_proxy_site.models import ApiKey


def find_key(key_id: str) -> ApiKey:
    """Raises CommandError, which quotes nothing: it may be the key itself that was given."""
    try:
        key = ApiKey.objects.select_related("user").filter(pk=UUID(key_id)).first()
    except ValueError:
        key = None
    if key is None:
        raise CommandError("There is no API key with this ID. `list_api_keys` shows them all.")
    return key


def api_key_facts(key: ApiKey) -> dict[str, Any]:
    return {
        "id": str(key.id),
        "name": key.name,
        "key": display(key),
        "user": key.user.get_username(),
        "scopes": key.scopes,
        "state": key.state(timezone.now()),
        "expires_at": key.expires_at.isoformat(),
        "created_at": key.created_at.isoformat(),
        "last_used_at": key.last_used_at.isoformat() if key.last_used_at else None,
    }
