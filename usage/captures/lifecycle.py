"""Reading what was captured: an act, which leaves its trace before anything is shown."""

from typing import Any
from uuid import UUID

import msgspec
from django.db import transaction

from audit import trail
from usage.captures.content import Content, reveal
from usage.captures.models import CapturedBodies


@transaction.atomic
def read(captured: CapturedBodies, *, actor: str) -> Content:
    """What is kept of a request's bodies. Raises encryption.UndecryptableError."""
    content = reveal(captured.ciphertext)
    trail.record("captured_bodies.read", captured, actor=actor, project_id=captured.project_id)
    return content


def content_facts(request_id: UUID, content: Content) -> dict[str, Any]:
    """For commands and the management API."""
    facts: dict[str, Any] = msgspec.to_builtins(content)
    return {"id": str(request_id), **facts}
