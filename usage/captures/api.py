"""Routes of what was captured: of one request, to be read; of a project, to be deleted."""

from typing import Any
from uuid import UUID

from django.utils import timezone
from ninja import Router

from llm_proxy_site.api.authentication import needs
from llm_proxy_site.api.caller import Request, found
from llm_proxy_site.api.errors import NotFound
from llm_proxy_site.api.scopes import ApiScope
from usage import schemas
from usage.captures.lifecycle import content_facts, read
from usage.captures.models import CapturedBodies
from usage.captures.pruning import delete_all
from usage.models import UsageRecord

router = Router(tags=["captures"])
project_router = Router(tags=["captures"])

READ = needs(ApiScope.CAPTURES_READ, "usage.view_capturedbodies")
DELETE = needs(ApiScope.CAPTURES_WRITE, "usage.delete_capturedbodies")


@router.get(
    "/{record_id}/capture",
    auth=READ,
    response=schemas.Capture,
    operation_id="get_capture",
    summary="Show what was kept of a request's bodies",
)
def get_capture(request: Request, record_id: UUID) -> dict[str, Any]:
    """That it was read is in the audit trail."""
    record = found(request.auth.within_reach(UsageRecord.objects.all()), record_id, "such request")
    captured = CapturedBodies.objects.of(record.pk, timezone.now())
    if captured is None:
        raise NotFound("capture of this request")
    return content_facts(record.pk, read(captured, actor=request.auth.actor))


@project_router.delete(
    "/{project_id}/captures",
    auth=DELETE,
    response=schemas.DeletedCaptures,
    operation_id="delete_captures",
    summary="Delete whatever was kept of a project's bodies",
)
def delete_captures(request: Request, project_id: UUID) -> dict[str, Any]:
    """What is captured from now on stays."""
    return {"deleted": delete_all(request.auth.project(project_id), actor=request.auth.actor)}
