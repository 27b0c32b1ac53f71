"""Every URL of the control plane, with the ids of a project in it, asked by each kind of person: they see and
change nothing that they must not. What is not in a table here must refuse; so a new page is in one, or red.

The management API: test_api.py. What is no URL of Django's: test_around.py.
"""

import pytest
from django.contrib import admin
from django.db import transaction
from django.http import HttpResponse
from django.test import Client

from tests.factories import UserFactory
from tests.refusals.acts import ANYTHING, Form, acts
from tests.refusals.answers import text_of
from tests.refusals.database import contents, writes
from tests.refusals.urls import Url, patterns, urls
from tests.refusals.world import (
    ADMIN_ELSEWHERE,
    MANAGER_ELSEWHERE,
    NOBODY,
    OPERATOR_ELSEWHERE,
    ROLELESS,
    STRANGER,
    VIEWER_ELSEWHERE,
    VIEWER_HERE,
    World,
    make_world,
    person,
)

pytestmark = pytest.mark.django_db

PUBLIC = {"", "admin:login", "sso_start", "sso_callback"}
"""Open to everybody: the first leads to the admin's index. The last two: tests/llm_proxy_site/sso/."""
APART = {"admin:logout": "test_sessions.py"}
"""It ends the session; who tries it."""
STAFF = {
    "admin/",  # the dashboard, each of whose parts asks who looks
    "admin:index",
    "admin:jsi18n",
    "admin:password_change",
    "admin:password_change_done",
    "admin:second_factor",
}
LISTS = {
    f"admin:{name}_changelist"
    for name in (
        "projects_project",
        "tokens_accesstoken",
        "tokens_trustrule",
        "usage_usagerecord",
        "usage_modelprice",
        "audit_auditevent",
        "llm_proxy_site_apikey",
    )
}
OF_NO_PROJECT = {f"admin:usage_modelprice_{view}" for view in ("change", "history")}
VIEWERS = {
    *STAFF,
    *LISTS,
    *OF_NO_PROJECT,
    "live",
    "admin:app_list",
    "admin:usage_usagerecord_export",
    "admin:audit_auditevent_export",
    "admin:llm_proxy_site_apikey_add",
    "admin:autocomplete",
}
OPERATORS = {*VIEWERS, "admin:tokens_accesstoken_add"}
PRICES = {f"admin:usage_modelprice_{view}" for view in ("changelist", "add", "change", "delete")}
MANAGERS = {*OPERATORS, *PRICES, "admin:projects_project_add", "admin:tokens_trustrule_add"}
HERE = {
    f"admin:{name}_{view}"
    for name in ("projects_project", "tokens_accesstoken", "tokens_trustrule", "usage_usagerecord")
    for view in ("change", "history")
} | {"admin:audit_auditevent_change", "admin:audit_auditevent_history", "project_usage", "token_usage"}
"""Of the project, for its viewers to read."""

OPEN = {
    NOBODY: PUBLIC,
    STRANGER: PUBLIC,
    ROLELESS: PUBLIC | STAFF,
    VIEWER_HERE: PUBLIC | VIEWERS | HERE,
    VIEWER_ELSEWHERE: PUBLIC | VIEWERS,
    OPERATOR_ELSEWHERE: PUBLIC | OPERATORS,
    MANAGER_ELSEWHERE: PUBLIC | MANAGERS,
}
ACT = {
    NOBODY: set(),
    STRANGER: set(),
    ROLELESS: {"admin:second_factor"},
    VIEWER_HERE: {"admin:second_factor", "admin:llm_proxy_site_apikey_add"},
    VIEWER_ELSEWHERE: {"admin:second_factor", "admin:llm_proxy_site_apikey_add"},
    OPERATOR_ELSEWHERE: {"admin:second_factor", "admin:llm_proxy_site_apikey_add"},
    MANAGER_ELSEWHERE: {
        "admin:second_factor",
        "admin:llm_proxy_site_apikey_add",
        "admin:projects_project_add",  # of one more, of which they are no member
        *PRICES,
    },
}
"""What they may do of what `acts` does: to themselves, or to what is of no project."""


@pytest.fixture
def world() -> World:
    return make_world()


def signed_in(who: str, world: World) -> Client:
    client = Client(raise_request_exception=False)
    if (user := person(who, world)) is not None:
        client.force_login(user)
    return client


def requests(world: World) -> list[tuple[Url, str, Form]]:
    """Each URL with GET, and with each POST that would be obeyed."""
    forms = acts(world)
    by_path = {url.path: url for url in reversed(urls(world)) if url.name not in APART}  # the first answers
    found: list[tuple[Url, str, Form]] = []
    for url in reversed(by_path.values()):
        found.append((url, "GET", {}))
        found += [(url, "POST", form) for form in forms.get(url.name, [ANYTHING])]
    return found


def send(client: Client, url: Url, method: str, form: Form) -> HttpResponse:
    client.cookies.pop("messages", None)  # which name the id of what was asked for, on the next page
    return client.get(url.path) if method == "GET" else client.post(url.path, form)


def refuses(answer: HttpResponse, url: Url) -> bool:
    """403, 404, or the way to the sign-in, to the first page (which says that there is no such thing), or
    back to the page itself.
    """
    if answer.status_code in (403, 404, 405):
        return True
    target = answer.headers.get("Location", "").partition("?")[0]
    return answer.status_code in (301, 302) and target in (
        "/admin/login/",
        "/admin/",
        url.path,
        f"{url.path}change/",
        f"{url.path}/",
    )


@pytest.mark.parametrize("who", OPEN)
def test_pages_refuse_whom_they_must(world: World, who: str) -> None:
    client = signed_in(who, world)
    sees = who == VIEWER_HERE
    begun = contents(but=frozenset())
    for url, method, form in requests(world):
        with transaction.atomic():
            with writes() as written:
                answer = send(client, url, method, form)
                text = text_of(answer)
            case = f"{method} {url.path} by {who}: {answer.status_code}"
            is_open = url.name in OPEN[who]
            assert answer.status_code < 500, case
            assert is_open or refuses(answer, url), case
            if who in (NOBODY, STRANGER) and not is_open:
                assert answer.headers["Location"].startswith("/admin/login/"), case
            assert answer.headers["X-Frame-Options"] == "DENY", case
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"], case
            if not sees:
                hidden = world.hidden if url.has_id else world.hidden + world.ids
                assert not [each for each in hidden if each in text], case
            if url.name in ACT[who] or (url.name == "admin:login" and method == "POST"):
                transaction.set_rollback(True)
            else:
                assert written == [], case
    assert contents(but=frozenset()) == begun
    is_let_in = client.get("/admin/").status_code == 200
    assert is_let_in == ("admin:index" in OPEN[who])  # still: not all was refused for that alone


def test_whoever_may_is_obeyed(world: World) -> None:
    """So that what the others are refused is real."""
    client = Client()
    client.force_login(UserFactory(superuser=True, username="ada"))
    session = client.cookies["sessionid"].value
    for url, method, form in requests(world):
        client.cookies["sessionid"] = session  # some acts begin a new one, which is taken back with them
        if method == "POST" and form is not ANYTHING:
            with transaction.atomic():
                with writes() as written:
                    answer = send(client, url, method, form)
                assert set(written) - {"django_session"}, f"{url.path} {form}: {text_of(answer)}"
                transaction.set_rollback(True)


@pytest.mark.parametrize("who", [ADMIN_ELSEWHERE, VIEWER_HERE])
def test_whoever_may_sees_it(world: World, who: str) -> None:
    client = signed_in(who, world)
    blind = set()
    for url in urls(world):
        if url.name in (HERE | LISTS) - PRICES and url.path != "/admin/":
            text = text_of(client.get(url.path))
            if not any(each in text for each in world.hidden):
                blind.add(url.name)
    nameless = {"admin:usage_usagerecord_history"}
    keys_are_their_own = {"admin:llm_proxy_site_apikey_changelist"} if who == VIEWER_HERE else set()
    assert blind == nameless | keys_are_their_own


def test_tables_name_what_there_is() -> None:
    there = {name for name, _ in patterns()} | {"catch_all"}
    named = PUBLIC | MANAGERS | HERE | APART.keys() | set().union(*ACT.values())
    assert named <= there
    assert len(there) > 60


def test_every_model_of_the_admin_site_is_in_the_world(world: World) -> None:
    """Their pages are asked by the rows there."""
    assert {model._meta.label_lower for model in admin.site._registry} <= world.rows.keys()


@pytest.mark.parametrize("query", ["next=x", "project__id__exact=x", "digest__startswith=a", "o=x", "p=x"])
def test_exports_of_filters_that_are_none_are_refused(query: str) -> None:
    client = Client()
    client.force_login(UserFactory(superuser=True))
    for path in ("/admin/usage/usagerecord/export/", "/admin/audit/auditevent/export.csv"):
        assert client.get(f"{path}?{query}").status_code in (200, 302, 400)
