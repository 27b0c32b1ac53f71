"""Routes under /manage/audit: the trail, to be read. Members see what happened to their projects."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from ninja import Query, Router

from audit import schemas
from audit.export import exported
from audit.line import facts
from audit.models import AuditEvent
from audit.verification import newest, verification_facts, verify_and_note
from llm_proxy_site.api.authentication import needs
from llm_proxy_site.api.caller import Request, found
from llm_proxy_site.api.errors import Forbidden
from llm_proxy_site.api.paging import PAGING, page_of
from llm_proxy_site.api.schemas import Page
from llm_proxy_site.api.scopes import ApiScope
from llm_proxy_site.api.searching import holds

router = Router(tags=["audit"])

READ = needs(ApiScope.AUDIT_READ, "audit.view_auditevent")
JSON_LINES = {
    "description": "An AuditEvent a line.",
    "content": {"application/jsonl": {"schema": {"type": "string"}}},
}


@router.get(
    "",
    auth=READ,
    response=Page[schemas.AuditEvent],
    operation_id="list_audit_events",
    summary="List what was changed, the latest first",
)
def list_audit_events(request: Request, filters: Query[schemas.AuditFilters]) -> dict[str, Any]:
    return page_of(_filtered(_events(request), filters), filters, facts, by="occurred_at")


@router.get(
    "/export",
    auth=READ,
    operation_id="export_audit_events",
    summary="Export what was changed, the latest first, as JSON lines",
    openapi_extra={"responses": {200: JSON_LINES}},
)
def export_audit_events(request: Request, filters: Query[schemas.EventFilters]) -> StreamingHttpResponse:
    """Any number of events, sent while they are read."""
    return exported(_filtered(_events(request), filters), "jsonl")


@router.get(
    "/verification",
    auth=READ,
    response=schemas.Verification,
    operation_id="get_audit_verification",
    summary="Show how the chain was found when it was last verified",
)
def get_audit_verification(request: Request) -> dict[str, Any]:
    _require_sight_of_all(request)
    return verification_facts(newest())


@router.post(
    "/verification",
    auth=READ,
    response=schemas.Verification,
    operation_id="verify_audit",
    summary="Verify the chain: whether an event was changed or removed since it was recorded",
)
def verify_audit(request: Request) -> dict[str, Any]:
    """Reads all of the trail: a million events take a minute or two."""
    _require_sight_of_all(request)
    return verification_facts(verify_and_note(actor=request.auth.actor))


@router.get(
    "/{event_id}",
    auth=READ,
    response=schemas.AuditEvent,
    operation_id="get_audit_event",
    summary="Show one change",
)
def get_audit_event(request: Request, event_id: UUID) -> dict[str, Any]:
    return facts(found(_events(request), event_id, "such audit event"))


def _require_sight_of_all(request: Request) -> None:
    """Raises Forbidden: the chain is of all projects' events."""
    if request.auth.project_ids is not None:
        raise Forbidden("not_permitted", "The chain is for those who see all projects.")


def _events(request: Request) -> QuerySet[AuditEvent]:
    return request.auth.within_reach(AuditEvent.objects.all())


def _filtered(events: QuerySet[AuditEvent], filters: schemas.EventFilters) -> QuerySet[AuditEvent]:
    given = filters.model_dump(exclude_none=True, exclude=PAGING)
    text = given.pop("search", None)
    names = {"since": "occurred_at__gte", "until": "occurred_at__lt"}
    events = events.filter(**{names.get(name, name): value for name, value in given.items()})
    return events if text is None else events.filter(holds("actor", text) | holds("subject_name", text))
