"""Routes under /manage/projects. A project is never deleted: it is switched off."""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from ninja import Query, Router

from llm_proxy_site.api.authentication import needs
from llm_proxy_site.api.caller import Request, found
from llm_proxy_site.api.idempotency import IdempotencyKey, once
from llm_proxy_site.api.paging import Paging, page_of
from llm_proxy_site.api.schemas import Page
from llm_proxy_site.api.scopes import ApiScope
from llm_proxy_site.api.searching import holds
from projects import lifecycle, schemas
from projects.facts import key_facts, project_facts
from projects.models import Project, UpstreamKey

router = Router(tags=["projects"])

READ = needs(ApiScope.PROJECTS_READ, "projects.view_project")
ADD = needs(ApiScope.PROJECTS_WRITE, "projects.add_project")
CHANGE = needs(ApiScope.PROJECTS_WRITE, "projects.change_project")
READ_KEYS = needs(ApiScope.KEYS_READ, "projects.view_upstreamkey")
ADD_KEYS = needs(ApiScope.KEYS_WRITE, "projects.add_upstreamkey")
CHANGE_KEYS = needs(ApiScope.KEYS_WRITE, "projects.change_upstreamkey")


@router.get(
    "", auth=READ, response=Page[schemas.Project], operation_id="list_projects", summary="List projects"
)
def list_projects(request: Request, filters: Query[schemas.ProjectFilters]) -> dict[str, Any]:
    projects = request.auth.projects().prefetch_related("upstream_keys")
    if filters.name is not None:
        projects = projects.filter(holds("name", filters.name))
    if filters.is_active is not None:
        projects = projects.filter(is_active=filters.is_active)
    return page_of(projects, filters, project_facts)


@router.post(
    "",
    auth=ADD,
    response={201: schemas.Project},
    operation_id="create_project",
    summary="Make a project with its first upstream key",
)
def create_project(request: Request, body: schemas.ProjectNew, idempotency_key: IdempotencyKey) -> Any:
    def act() -> dict[str, Any]:
        return project_facts(lifecycle.create_project(**body.given(), actor=request.auth.actor))

    return once(request, idempotency_key, act)


@router.get(
    "/{project_id}", auth=READ, response=schemas.Project, operation_id="get_project", summary="Show a project"
)
def get_project(request: Request, project_id: UUID) -> dict[str, Any]:
    return project_facts(request.auth.project(project_id))


@router.patch(
    "/{project_id}",
    auth=CHANGE,
    response=schemas.Project,
    operation_id="update_project",
    summary="Change a project, or switch it off or on",
)
@transaction.atomic
def update_project(request: Request, project_id: UUID, body: schemas.ProjectEdit) -> dict[str, Any]:
    """What is switched off is felt within 2 s, by running requests too."""
    project, actor = request.auth.project(project_id), request.auth.actor
    edits = body.given()
    is_active = edits.pop("is_active", project.is_active)
    lifecycle.update_project(project, **edits, actor=actor)
    lifecycle.set_project_active(project, is_active, actor=actor, now=timezone.now())
    return project_facts(project)


@router.get(
    "/{project_id}/keys",
    auth=READ_KEYS,
    response=Page[schemas.UpstreamKey],
    operation_id="list_upstream_keys",
    summary="List a project's upstream keys, and how they are",
)
def list_upstream_keys(request: Request, project_id: UUID, paging: Query[Paging]) -> dict[str, Any]:
    return page_of(_keys(request, project_id), paging, key_facts)


@router.post(
    "/{project_id}/keys",
    auth=ADD_KEYS,
    response={201: schemas.UpstreamKey},
    operation_id="add_upstream_key",
    summary="Give a project another upstream key",
)
def add_upstream_key(
    request: Request, project_id: UUID, body: schemas.UpstreamKeyNew, idempotency_key: IdempotencyKey
) -> Any:
    project = request.auth.project(project_id)

    def act() -> dict[str, Any]:
        added = lifecycle.add_upstream_key(
            project, body.key, name=body.name, weight=body.weight, actor=request.auth.actor
        )
        return key_facts(added)

    return once(request, idempotency_key, act)


@router.patch(
    "/{project_id}/keys/{key_id}",
    auth=CHANGE_KEYS,
    response=schemas.UpstreamKey,
    operation_id="update_upstream_key",
    summary="Change an upstream key's name, weight, or whether it is used",
)
def update_upstream_key(
    request: Request, project_id: UUID, key_id: UUID, body: schemas.UpstreamKeyEdit
) -> dict[str, Any]:
    key = found(_keys(request, project_id), key_id, "such upstream key")
    lifecycle.update_upstream_key(key, **body.given(), actor=request.auth.actor)
    return key_facts(key)


def _keys(request: Request, project_id: UUID) -> QuerySet[UpstreamKey]:
    project: Project = request.auth.project(project_id)
    return project.upstream_keys.select_related("project")
