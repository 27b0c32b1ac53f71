"""Routes under /manage/projects/{project_id}/members: who sees a project. What they may do there is what
their role says (/manage/people).
"""

from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import QuerySet
from ninja import Query, Router

from llm_proxy_site.api.authentication import needs
from llm_proxy_site.api.caller import Request
from llm_proxy_site.api.errors import NotFound
from llm_proxy_site.api.paging import Paging, page_of
from llm_proxy_site.api.schemas import Page
from llm_proxy_site.api.scopes import ApiScope
from projects import lifecycle, schemas
from projects.facts import member_facts
from projects.models import Membership, Project

router = Router(tags=["people"])

READ = needs(ApiScope.PEOPLE_READ, "projects.view_membership")
ADD = needs(ApiScope.PEOPLE_WRITE, "projects.add_membership")
REMOVE = needs(ApiScope.PEOPLE_WRITE, "projects.delete_membership")


@router.get(
    "/{project_id}/members",
    auth=READ,
    response=Page[schemas.Member],
    operation_id="list_members",
    summary="List a project's members",
)
def list_members(request: Request, project_id: UUID, paging: Query[Paging]) -> dict[str, Any]:
    """Superusers and the role `admin` see every project, and need not be members."""
    return page_of(_members(request.auth.project(project_id)), paging, member_facts)


@router.put(
    "/{project_id}/members/{username}",
    auth=ADD,
    response=schemas.Member,
    operation_id="add_member",
    summary="Let a person see a project",
)
def add_member(request: Request, project_id: UUID, username: schemas.Username) -> dict[str, Any]:
    """Who sees it already is a member all the same: it can be sent again."""
    project = request.auth.project(project_id)
    user = User.objects.filter(username=username).first()
    if user is None:
        raise NotFound("such person")
    lifecycle.add_member(project, user, actor=request.auth.actor)
    return member_facts(_members(project).get(user=user))


@router.delete(
    "/{project_id}/members/{username}",
    auth=REMOVE,
    response=schemas.Member,
    operation_id="remove_member",
    summary="Take a project from a person's sight",
)
def remove_member(request: Request, project_id: UUID, username: schemas.Username) -> dict[str, Any]:
    project = request.auth.project(project_id)
    member = _members(project).filter(user__username=username).first()
    if member is None:
        raise NotFound("such member")
    facts = member_facts(member)
    lifecycle.remove_member(project, member.user, actor=request.auth.actor)
    return facts


def _members(project: Project) -> QuerySet[Membership]:
    members = Membership.objects.filter(project=project).select_related("project", "user")
    return members.prefetch_related("user__groups")
