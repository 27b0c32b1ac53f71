"""Who calls the management API, and what they may see and do."""

from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from audit.actors import MANAGEMENT_TOKEN, of_api_key
from llm_proxy_site.api.errors import Forbidden, NotFound
from llm_proxy_site.api.scopes import ALL_SCOPES, ApiScope
from llm_proxy_site.models import ApiKey
from projects.access import visible_project_ids, within_reach
from projects.models import Project

Row = TypeVar("Row", bound=Model)
Rows = TypeVar("Rows", bound=QuerySet[Any])


@dataclass(frozen=True, slots=True)
class Caller:
    id: str
    """Of the key: what rates and idempotency keys are counted by."""
    actor: str
    """As the audit trail names them."""
    user: User | None
    """None: who has MANAGEMENT_TOKEN, and may do everything."""
    scopes: frozenset[ApiScope]

    @classmethod
    def with_key(cls, key: ApiKey) -> "Caller":
        scopes = frozenset(ApiScope(scope) for scope in key.scopes if scope in ALL_SCOPES)
        return cls(str(key.id), of_api_key(key.id, key.user.get_username()), key.user, scopes)

    def require(self, scope: ApiScope, permission: str) -> None:
        """Raises Forbidden. `permission`: of the person, as their role gives it."""
        if scope not in self.scopes:
            raise Forbidden("missing_scope", f"This API key lacks the scope {scope}.")
        if self.user is not None and not self.user.has_perm(permission):
            raise Forbidden("not_permitted", "The role of this API key's user does not permit this.")

    @property
    def project_ids(self) -> set[UUID] | None:
        """Of the projects that they see; None: of all."""
        return None if self.user is None else visible_project_ids(self.user)

    def within_reach(self, rows: Rows) -> Rows:
        """Those of `rows` whose `project_id` is of a project that they see."""
        return rows if self.user is None else within_reach(rows, self.user)

    def projects(self) -> QuerySet[Project]:
        return Project.objects.all() if self.user is None else Project.objects.visible_to(self.user)

    def project(self, project_id: UUID) -> Project:
        """Raises NotFound, for those that they do not see too."""
        return found(self.projects(), project_id, "such project")


MANAGEMENT = Caller(MANAGEMENT_TOKEN, MANAGEMENT_TOKEN, None, ALL_SCOPES)


class Request(HttpRequest):
    """What a route of the API is handed."""

    auth: Caller


def found(rows: QuerySet[Row], row_id: object, what: str) -> Row:
    """Raises NotFound."""
    row = rows.filter(pk=row_id).first()
    if row is None:
        raise NotFound(what)
    return row
