"""An event as one JSON object: a line of AUDIT_FILE and of the export."""

import json
import os
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction

from audit.models import AuditEvent

log = structlog.get_logger("audit")
FIELDS = (
    "sequence",
    "id",
    "occurred_at",
    "actor",
    "action",
    "subject_type",
    "subject_id",
    "subject_name",
    "project_id",
    "address",
    "request_id",
    "details",
    "previous_hash",
    "hash",
)


def facts(event: AuditEvent) -> dict[str, Any]:
    """By field, as JSON can hold them; what is not there is null."""
    values = {field: getattr(event, field) for field in FIELDS}
    plain = (int, str, dict)
    return {
        field: value if value is None or isinstance(value, plain) else str(value)
        for field, value in (values | {"occurred_at": event.occurred_at.isoformat()}).items()
    }


def write_after_commit(event: AuditEvent) -> None:
    """Append the event to AUDIT_FILE, where one is set, once it is sure. In the database it is anyway."""
    file: Path | None = settings.AUDIT_FILE
    if file is not None:
        transaction.on_commit(lambda: _write(file, json.dumps(facts(event)) + "\n"))


def _write(file: Path, line: str) -> None:
    """One write, so that the lines of several processes do not mix."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)
    except OSError as problem:
        log.error("AUDIT_FILE cannot be written", file=str(file), error=problem.strerror)
