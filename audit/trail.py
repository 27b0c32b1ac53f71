"""The one way to write an audit event. `details` holds facts, never a secret."""

from collections.abc import Sequence
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
    event = _event_about(action, subject, actor=actor, project_id=project_id, details=details or {})
    _append([event])
    return event


def record_all(action: str, acts: Sequence[tuple[Model, UUID | None, dict[str, Any]]], *, actor: str) -> None:
    """Append an event for each subject, with its project's id and its details, as `record` does. All at once:
    meanwhile nobody else can append any.
    """
    _append(
        [
            _event_about(action, subject, actor=actor, project_id=project_id, details=details)
            for subject, project_id, details in acts
        ]
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
    event = _event(
        actor=actor,
        action=action,
        subject_type=subject_type,
        subject_id="",
        subject_name=subject_name,
        project_id=None,
        details=details or {},
    )
    _append([event])
    return event


def _event_about(action: str, subject: Model, **facts: Any) -> AuditEvent:
    return _event(
        action=action,
        subject_type=subject._meta.model_name or "",
        subject_id=str(subject.pk),
        subject_name=str(subject),
        **facts,
    )


def _event(*, actor: str, subject_name: str, **facts: Any) -> AuditEvent:
    where = origin.current()
    return AuditEvent(
        actor=actor[:150],
        subject_name=subject_name[:150],
        address=where.address,
        request_id=where.request_id,
        **facts,
    )


def _append(events: list[AuditEvent]) -> None:
    append(events)
    for event in events:
        write_after_commit(event)
