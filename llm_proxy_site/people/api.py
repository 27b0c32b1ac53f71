"""Routes under /manage/people: who they are, and which role they have."""

from enum import StrEnum
from typing import Annotated, Any

from django.contrib.auth.models import User
from django.db.models import QuerySet
from ninja import Query, Router, Schema
from pydantic import Field

from llm_proxy_site.api.authentication import needs
from llm_proxy_site.api.caller import Request
from llm_proxy_site.api.errors import NotFound
from llm_proxy_site.api.idempotency import IdempotencyKey, once
from llm_proxy_site.api.paging import Paging, page_of
from llm_proxy_site.api.schemas import NO_NUL, Body, Instant, Page
from llm_proxy_site.api.scopes import ApiScope
from llm_proxy_site.people.facts import person_facts
from llm_proxy_site.people.lifecycle import create_person, update_person
from projects.access import ADMIN, OPERATOR, VIEWER
from projects.schemas import Username

router = Router(tags=["people"])

READ = needs(ApiScope.PEOPLE_READ, "auth.view_user")
ADD = needs(ApiScope.PEOPLE_WRITE, "auth.add_user")
CHANGE = needs(ApiScope.PEOPLE_WRITE, "auth.change_user")


class Role(StrEnum):
    VIEWER = VIEWER
    OPERATOR = OPERATOR
    ADMIN = ADMIN


class PersonNew(Body):
    username: Annotated[str, Field(min_length=1, max_length=150, pattern=NO_NUL, examples=["ada"])]
    email: Annotated[str, Field(max_length=254, pattern=NO_NUL)] = ""
    role: Annotated[Role | None, Field(strict=False)] = None
    password: Annotated[
        str, Field(max_length=4096, pattern=NO_NUL, description="Without one: single sign-on only.")
    ] = ""


class PersonEdit(Body):
    """What is not named stays as it is."""

    role: Annotated[Role | None, Field(strict=False, description="null: takes it away.")] = None
    is_active: Annotated[bool, Field(description="Who is not can neither sign in nor use their keys.")] = True


class Person(Schema):
    username: str
    email: str | None
    role: str | None
    is_superuser: Annotated[bool, Field(description="Superusers may do everything, whatever their role.")]
    is_active: bool
    created_at: Instant
    last_signed_in_at: Instant | None


@router.get("", auth=READ, response=Page[Person], operation_id="list_people", summary="List people")
def list_people(request: Request, paging: Query[Paging]) -> dict[str, Any]:
    return page_of(_people(), paging, person_facts, by="date_joined")


@router.post(
    "",
    auth=ADD,
    response={201: Person},
    operation_id="create_person",
    summary="Make an account for a person",
)
def add_person(request: Request, body: PersonNew, idempotency_key: IdempotencyKey) -> Any:
    """With a role it needs leave to change people, too."""
    if body.role is not None:
        request.auth.require(ApiScope.PEOPLE_WRITE, "auth.change_user")

    def act() -> dict[str, Any]:
        given = {"role": None, "password": "", **body.given()}
        return person_facts(create_person(**given, actor=request.auth.actor))

    return once(request, idempotency_key, act)


@router.get("/{username}", auth=READ, response=Person, operation_id="get_person", summary="Show a person")
def get_person(request: Request, username: Username) -> dict[str, Any]:
    return person_facts(_person(username))


@router.patch(
    "/{username}",
    auth=CHANGE,
    response=Person,
    operation_id="update_person",
    summary="Change a person's role, or switch a person off or on",
)
def edit_person(request: Request, username: Username, body: PersonEdit) -> dict[str, Any]:
    update_person(_person(username), **body.given(), actor=request.auth.actor)
    return person_facts(_person(username))


def _people() -> QuerySet[User]:
    return User.objects.prefetch_related("groups")


def _person(username: str) -> User:
    """Raises NotFound."""
    user = _people().filter(username=username).first()
    if user is None:
        raise NotFound("such person")
    return user
