"""Every route refuses who may not: generated from the OpenAPI document, so that none is forgotten."""

from dataclasses import dataclass

import pytest

from audit import trail
from audit.models import AuditEvent
from llm_proxy_site.api.application import api
from llm_proxy_site.api.scopes import ALL_SCOPES, ApiScope
from projects.access import OPERATOR, VIEWER
from projects.models import Project
from tests.factories import (
    UPSTREAM_KEY,
    CapturedBodiesFactory,
    ProjectFactory,
    TrustRuleFactory,
    UsageRecordFactory,
    UserFactory,
    issue_token,
    stored_text,
)
from tests.management import Manager, key_of, refusal

pytestmark = pytest.mark.django_db


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    scope: ApiScope

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def routes() -> list[Route]:
    found = []
    for path, operations in api.get_openapi_schema()["paths"].items():
        for method, operation in operations.items():
            (scheme,) = operation["security"]
            (scope,) = scheme["ApiKeyAuth"]
            found.append(Route(method.upper(), path.removeprefix("/manage"), scope))
    return found


ROUTES = routes()
FOR_ADMINS = {
    ApiScope.PROJECTS_WRITE,
    ApiScope.KEYS_WRITE,
    ApiScope.TRUST_RULES_WRITE,
    ApiScope.PEOPLE_READ,
    ApiScope.PEOPLE_WRITE,
    ApiScope.CAPTURES_READ,
    ApiScope.CAPTURES_WRITE,
}
STREAMED = {"/audit/export"}
"""It is for tests of its own (tests/audit/test_api.py): what is streamed has no content."""
READING = [route for route in ROUTES if route.method == "GET" and route.path not in STREAMED]


@dataclass(frozen=True)
class World:
    """A project with all that it can have."""

    project: Project
    plain: str
    ids: dict[str, str]

    def path(self, route: Route) -> str:
        return route.path.format(**self.ids)


@pytest.fixture
def world() -> World:
    project = ProjectFactory()
    token, plain = issue_token(project=project)
    event = trail.record("project.changed", project, actor="user:grace", project_id=project.id)
    record = UsageRecordFactory(token=token)
    CapturedBodiesFactory(id=record.id, project=project)
    ids = {
        "project_id": project.id,
        "key_id": project.upstream_keys.get().id,
        "token_id": token.id,
        "rule_id": TrustRuleFactory(project=project).id,
        "record_id": record.id,
        "event_id": event.id,
        "username": UserFactory(projects=[project], username="grace.h").username,
        "model": "gpt-4o",
    }
    return World(project, plain, {name: str(each) for name, each in ids.items()})


def test_there_are_routes() -> None:
    assert len(ROUTES) > 25
    assert {route.scope for route in ROUTES} == ALL_SCOPES


def refusals_of(manager: Manager, world: World, routes: list[Route]) -> dict[str, tuple[int, str]]:
    found = {}
    for route in routes:
        body = {"ttl": "1h"} if route.path.endswith("/extend") else {}
        status, code, _ = refusal(manager.call(route.method, world.path(route), body))
        found[str(route)] = (status, code)
    return found


def test_strangers_are_refused(world: World) -> None:
    refusals = refusals_of(Manager(None), world, ROUTES)
    assert set(refusals.values()) == {(401, "invalid_api_key")}, refusals


def test_a_key_without_the_scope_is_refused(world: World) -> None:
    user = UserFactory(superuser=True)
    for scope in ApiScope:
        others = Manager(key_of(user, ALL_SCOPES - {scope}))
        refusals = refusals_of(others, world, [route for route in ROUTES if route.scope == scope])
        assert set(refusals.values()) == {(403, "missing_scope")}, refusals


def test_people_without_a_role_are_refused(world: World) -> None:
    nobody = Manager(key_of(UserFactory(projects=[world.project])))
    refusals = refusals_of(nobody, world, ROUTES)
    assert set(refusals.values()) == {(403, "not_permitted")}, refusals


def test_a_viewer_changes_nothing(world: World) -> None:
    viewer = Manager.with_role(VIEWER, world.project)
    before = AuditEvent.objects.count()
    refusals = refusals_of(viewer, world, [route for route in ROUTES if route.method != "GET"])
    assert set(refusals.values()) == {(403, "not_permitted")}, refusals
    assert AuditEvent.objects.count() == before


def test_a_member_of_another_project_finds_nothing(world: World) -> None:
    stranger = Manager.with_role(OPERATOR, ProjectFactory())
    for route in ROUTES:
        if "_id}" in route.path:
            expected = (403, "not_permitted") if route.scope in FOR_ADMINS else (404, "not_found")
            assert refusals_of(stranger, world, [route]) == {str(route): expected}


def test_a_member_of_another_project_sees_nothing_of_it(world: World) -> None:
    stranger = Manager.with_role(VIEWER, ProjectFactory())
    hidden = [world.project.name, *(each for name, each in world.ids.items() if name != "model")]
    for route in READING:
        text = stranger.call("GET", world.path(route)).content.decode()
        assert not [each for each in hidden if each in text], route


def test_no_secret_is_told(world: World) -> None:
    ada = Manager.of_superuser()
    key, token = world.project.upstream_keys.get(), world.project.access_tokens.get()
    for route in READING:
        response = ada.call("GET", world.path(route))
        assert response.status_code == 200, route
        text = response.content.decode()
        for secret in (UPSTREAM_KEY, key.ciphertext, world.plain, token.digest, ada.plain):
            assert secret not in text, route


def test_no_secret_is_stored_or_told_again(world: World) -> None:
    ada = Manager.of_superuser()
    body = {"project_id": str(world.project.id)}
    told = ada.do("POST", "/tokens", body, **{"Idempotency-Key": "one"})["token"]
    ada.do("POST", f"/projects/{world.project.id}/keys", {"key": UPSTREAM_KEY}, **{"Idempotency-Key": "two"})
    stored = stored_text()
    assert not [secret for secret in (told, UPSTREAM_KEY, ada.plain) if secret in stored]
