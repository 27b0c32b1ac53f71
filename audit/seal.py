"""The hash of an event: SHA-256 over what it says and the hash before it, in one way of writing them.

This must never change: what was recorded years ago is verified with it.
"""

import json
from datetime import UTC
from hashlib import sha256
from typing import Any, Protocol


class Sealed(Protocol):
    """An AuditEvent, or one of a migration."""

    pk: Any
    sequence: Any
    previous_hash: Any
    occurred_at: Any
    actor: Any
    action: Any
    subject_type: Any
    subject_id: Any
    subject_name: Any
    project_id: Any
    address: Any
    request_id: Any
    details: Any


def seal(event: Sealed) -> str:
    """64 hexadecimal digits."""
    said = {
        "id": str(event.pk),
        "sequence": event.sequence,
        "previous": event.previous_hash,
        "occurred_at": event.occurred_at.astimezone(UTC).isoformat(timespec="microseconds"),
        "actor": event.actor,
        "action": event.action,
        "subject_type": event.subject_type,
        "subject_id": event.subject_id,
        "subject_name": event.subject_name,
        "project_id": _text(event.project_id),
        "address": event.address,
        "request_id": _text(event.request_id),
        "details": _plain(event.details),
    }
    return sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _plain(value: Any) -> Any:
    """PostgreSQL gives 1e22 back as a whole number: whole numbers are written as such, whatever they were."""
    if isinstance(value, dict):
        return {key: _plain(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_plain(member) for member in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
