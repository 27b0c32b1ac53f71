"""The one way to write an audit event. `details` holds facts, never a secret."""

from typing import Any
from uuid import UUID

from django.db.models import Model

from audit import origin
from audit.chain import append
from audit.line import write_after_commit
from audit.models import AuditEvent


def record(
    action: str,
    subject: Model,
    *,
    actor: str,
    project_id: UUID | None = None,
    details: dict[str, Any] | None = None,
) -> AuditEvent:
    """Append an event, in the caller's transaction: the act and its trace stand or fall together.

    `action` is a dotted verb such as "token.revoked"; `actor` is as audit.actors names them.
    """
    return _append(
        actor=actor,
        action=action,
        subject_type=subject._meta.model_name or "",
        subject_id=str(subject.pk),
        subject_name=str(subject),
        project_id=project_id,
        details=details or {},
    )


def record_act(
    action: str,
    subject_type: str,
    *,
    actor: str,
    subject_name: str = "",
    details: dict[str, Any] | None = None,
) -> AuditEvent:
    """Append an event about what is no row, such as the database itself."""
    return _append(
        actor=actor,
        action=action,
        subject_type=subject_type,
        subject_id="",
        subject_name=subject_name,
        project_id=None,
        details=details or {},
    )


def _append(*, actor: str, subject_name: str, **facts: Any) -> AuditEvent:
    where = origin.current()
    event = AuditEvent(
        actor=actor[:150],
        subject_name=subject_name[:150],
        address=where.address,
        request_id=where.request_id,
        **facts,
    )
    append(event)
    write_after_commit(event)
    return event
