"""Every operation of the management API, by each kind of person, by keys of one scope each.

More of it is in tests/llm_proxy_site/api/test_refusals.py.
"""

from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import get_resolver

from llm_proxy_site.api.scopes import ApiScope
from tests.factories import UserFactory
from tests.llm_proxy_site.api.test_refusals import ROUTES, Route
from tests.management import Manager, key_of, refusal
from tests.refusals.answers import text_of
from tests.refusals.database import contents, writes
from tests.refusals.urls import walk
from tests.refusals.world import (
    ADMIN_ELSEWHERE,
    MANAGER_ELSEWHERE,
    MARK,
    NOBODY,
    OPERATOR_ELSEWHERE,
    OUTSIDERS,
    VIEWER_HERE,
    World,
    make_world,
    person,
)

pytestmark = pytest.mark.django_db

PUBLIC = {"/manage/openapi.json"}
"""And `/manage/`, which says that there is nothing."""
LISTS = {
    *("/projects", "/tokens", "/trust-rules", "/usage", "/usage/summary", "/prices", "/health"),
    *("/audit", "/audit/export", "/audit/verification"),
}
NOT_FOR_VIEWERS = {
    *("/people", "/people/{username}", "/projects/{project_id}/members"),
    *("/audit/verification", "/usage/{record_id}/capture"),
}
IDLE = {"POST /tokens/{token_id}/reactivate", "PUT /projects/{project_id}/members/{username}"}
"""They are obeyed, and find that it is so already."""
UNSEEN = frozenset({"llm_proxy_site_apikey", "audit_auditevent", "audit_auditchain"})
"""The keys that each case makes, and that they were made: what else is written is looked at act by act."""


@pytest.fixture
def world() -> World:
    return make_world()


def path(route: Route, world: World) -> str:
    rows = world.rows
    if route.path == "/usage/summary":
        return f"{route.path}?group_by=project"
    return route.path.format(
        project_id=world.project.pk,
        key_id=rows["projects.upstreamkey"].pk,
        token_id=rows["tokens.accesstoken"].pk,
        record_id=rows["usage.usagerecord"].pk,
        event_id=rows["audit.auditevent"].pk,
        rule_id=rows["tokens.trustrule"].pk,
        username=rows["auth.user"].username,
        model="priced",
    )


def body(route: Route, world: World) -> Any:
    """One that would be obeyed."""
    new = {"project_id": str(world.project.pk)}
    bodies: dict[str, Any] = {
        "POST /projects": {"name": "new", "upstream_key": "sk-upstream-new-0001"},
        "PATCH /projects/{project_id}": {"is_active": False},
        "POST /projects/{project_id}/keys": {"key": "sk-upstream-new-0001"},
        "PATCH /projects/{project_id}/keys/{key_id}": {"name": "new"},
        "POST /projects/{project_id}/tokens/revoke": {},
        "POST /tokens": new,
        "POST /tokens/batch": {**new, "name": "new", "count": 2},
        "PATCH /tokens/{token_id}": {"name": "new"},
        "POST /tokens/{token_id}/rotate": {"grace": "0s"},
        "POST /tokens/{token_id}/extend": {"ttl": "2h"},
        "POST /trust-rules": {
            **new,
            "name": "new",
            "issuer": "https://ci.example.com",
            "audience": "new",
            "claims": {"repository": ["new"]},
        },
        "PATCH /trust-rules/{rule_id}": {"is_active": False},
        "POST /people": {"username": "new"},
        "PATCH /people/{username}": {"is_active": False},
        "PUT /prices/{model}": {"input_price": "2", "output_price": "2"},
    }
    return bodies.get(str(route))


def readable(route: Route) -> bool:
    return route.method == "GET" and route.path in LISTS


def test_every_route_is_in_the_document() -> None:
    """What OpenAPI does not list is not asked here."""
    found = {"/" + pattern for _, pattern in walk(get_resolver(), "", "") if pattern.startswith("manage/")}
    listed = {f"/manage{route.path}".replace("{", "<").replace("}", ">") for route in ROUTES}
    assert {each.replace("<path:", "<") for each in found} == listed | PUBLIC | {"/manage/"}


def test_what_is_public_tells_of_no_project(world: World) -> None:
    client = Client()
    for url in PUBLIC | {"/manage/", "/manage/nothing"}:
        answer = client.get(url)
        assert answer.status_code == (200 if url in PUBLIC else 404)
        assert MARK not in answer.content.decode()


@pytest.mark.parametrize("who", [each for each in OUTSIDERS if each != NOBODY])
def test_keys_of_outsiders_find_and_change_nothing(world: World, who: str) -> None:
    user = person(who, world)
    assert user is not None
    begun = contents(but=UNSEEN)
    may = (
        {"POST /projects", "PUT /prices/{model}", "DELETE /prices/{model}"}
        if who == MANAGER_ELSEWHERE
        else ()
    )
    for scope in ApiScope:
        manager = Manager(key_of(user, [scope]))
        for route in ROUTES:
            if route.scope != scope:
                continue
            with transaction.atomic():
                with writes() as written:
                    answer = manager.call(route.method, path(route, world), body(route, world))
                text = text_of(answer)
                case = f"{route} by {who}: {answer.status_code} {text[:200]}"
                assert not [each for each in world.hidden + world.ids if each in text], case
                if str(route) in may:  # of one more project, or of none
                    assert answer.status_code in (200, 201), case
                    transaction.set_rollback(True)
                    continue
            assert set(written) <= {"llm_proxy_site_apikey"}, case
            if answer.status_code == 200:
                assert readable(route), case
            else:
                assert refusal(answer)[:2] in [(403, "not_permitted"), (404, "not_found")], case
    assert contents(but=UNSEEN) == begun


@pytest.mark.parametrize("who", [OPERATOR_ELSEWHERE, MANAGER_ELSEWHERE])
def test_filters_find_nothing_of_a_project_that_is_not_theirs(world: World, who: str) -> None:
    manager = Manager(key_of(person(who, world)))
    project, token = world.project.pk, world.rows["tokens.accesstoken"].pk
    for path in (
        f"/projects?name={MARK}",
        f"/tokens?project_id={project}",
        f"/usage?project_id={project}",
        f"/usage?token_id={token}",
        *(f"/usage/summary?group_by={group}&project_id={project}" for group in ("project", "token", "model")),
        f"/usage/summary?group_by=day&token_id={token}",
        f"/audit?project_id={project}",
        f"/audit?subject_id={token}",
        f"/audit?search={MARK}",
    ):
        told = manager.ask(path)
        data = [each for each in told["data"] if each.get("requests") != 0]  # a day without any
        assert data == [], path
        assert told.get("total", {}).get("requests", 0) == 0, path


def test_a_key_is_good_for_its_scope_only(world: World) -> None:
    user = UserFactory(superuser=True)
    for scope in ApiScope:
        manager = Manager(key_of(user, [scope]))
        for route in ROUTES:
            if route.scope != scope:
                with writes() as written:
                    answer = manager.call(route.method, path(route, world), body(route, world))
                assert refusal(answer)[:2] == (403, "missing_scope"), (route, scope)
                assert set(written) <= {"llm_proxy_site_apikey"}, (route, scope)


@pytest.mark.parametrize("who", [VIEWER_HERE])
def test_keys_of_viewers_change_nothing(world: World, who: str) -> None:
    user = person(who, world)
    manager = Manager(key_of(user))
    for route in ROUTES:
        with writes() as written:
            answer = manager.call(route.method, path(route, world), body(route, world))
        is_shown = route.method == "GET" and route.path not in NOT_FOR_VIEWERS
        assert answer.status_code == (200 if is_shown else 403), route
        assert set(written) <= {"llm_proxy_site_apikey"}, route


@pytest.mark.parametrize("who", [None, ADMIN_ELSEWHERE])
def test_without_a_key_nothing_is_told_or_done_a_session_or_not(world: World, who: str | None) -> None:
    """So nothing can be forged in the name of who is signed in: what CSRF would need is not looked at."""
    manager = Manager(None)
    if who is not None:
        manager._client.force_login(person(who, world))
    for route in ROUTES:
        with writes() as written:
            answer = manager.call(route.method, path(route, world), body(route, world))
        assert refusal(answer)[:2] == (401, "invalid_api_key"), route
        assert written == [], route


def test_whoever_may_is_obeyed(world: World) -> None:
    """So that what the others are refused is real."""
    ada = Manager(key_of(UserFactory(superuser=True)))
    blind = set()
    for route in ROUTES:
        with transaction.atomic():
            with writes() as written:
                answer = ada.call(route.method, path(route, world), body(route, world))
            assert answer.status_code in (200, 201), f"{route}: {text_of(answer)}"
            acted = set(written) - {"llm_proxy_site_apikey"}
            assert acted or route.method == "GET" or str(route) in IDLE, route
            if route.method == "GET" and MARK not in text_of(answer):
                blind.add(route.path)
            transaction.set_rollback(True)
    assert blind == {"/prices", "/audit/verification"}
