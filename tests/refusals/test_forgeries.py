"""Requests that another site makes a browser send: every page that acts asks for what it cannot know."""

from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client
from django.urls import reverse

from projects.models import Project
from tests.factories import UserFactory
from tests.refusals.acts import ANYTHING, acts
from tests.refusals.database import writes
from tests.refusals.urls import urls
from tests.refusals.world import make_world

pytestmark = pytest.mark.django_db
LOGIN, LOGOUT = reverse("admin:login"), reverse("admin:logout")
PASSWORD = "correct horse battery staple"


@pytest.fixture
def ada() -> Client:
    """In a browser, which sends her cookies whoever asks it to."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(UserFactory(superuser=True, username="ada", password=PASSWORD))
    return client


def token(client: Client) -> str:
    return client.get(reverse("admin:password_change")).context["csrf_token"]


def test_every_page_refuses_a_post_without_our_token(ada: Client) -> None:
    world = make_world()
    forms = acts(world)
    asked = 0
    for url in urls(world):
        for form in forms.get(url.name, [ANYTHING]):
            for headers in ({}, {"Origin": "https://evil.test"}, {"Origin": "null"}):
                with writes() as written:
                    answer = ada.post(url.path, form | {"csrfmiddlewaretoken": "guess"}, headers=headers)
                assert answer.status_code == 403, (url, headers)
                assert written == [], (url, headers)
                asked += 1
    assert asked > 200
    assert ada.get("/admin/").status_code == 200  # signed in, still


def switch_off(ada: Client, project: Project, **headers: str) -> Any:
    url = reverse("admin:projects_project_change", args=[project.pk])
    return ada.post(url, {"_deactivate": "x", "csrfmiddlewaretoken": token(ada)}, headers=headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.test"},
        {"Origin": "null"},
        {"Origin": "http://testserver.evil.test"},
        {"Origin": "http://testserver:8080"},
        {"Origin": "https://testserver"},
    ],
)
def test_the_token_from_elsewhere_does_not_help(ada: Client, headers: dict[str, str]) -> None:
    project = make_world().project
    assert switch_off(ada, project, **headers).status_code == 403
    project.refresh_from_db()
    assert project.is_active
    assert switch_off(ada, project, Origin="http://testserver").status_code == 302
    project.refresh_from_db()
    assert not project.is_active


def test_a_referer_from_elsewhere_is_refused_over_tls(ada: Client, settings: LazySettings) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    project = make_world().project
    for referer in ({}, {"Referer": "https://evil.test/"}):
        answer = switch_off(ada, project, **{"X-Forwarded-Proto": "https"}, **referer)
        assert answer.status_code == 403


def test_nobody_is_signed_in_or_out_by_another_site(ada: Client) -> None:
    assert ada.post(LOGOUT).status_code == 403
    assert ada.get("/admin/").status_code == 200
    victim = Client(enforce_csrf_checks=True)
    form = {"username": "ada", "password": PASSWORD, "next": "/admin/"}
    assert victim.post(LOGIN, form).status_code == 403
    assert "sessionid" not in victim.cookies


def test_a_token_of_before_signing_in_is_worth_nothing_after(ada: Client) -> None:
    """So that an attacker cannot know one by having planted it."""
    browser = Client(enforce_csrf_checks=True)
    planted = browser.get(LOGIN).cookies["csrftoken"].value
    form = {"username": "ada", "password": PASSWORD, "csrfmiddlewaretoken": planted}
    browser.post(LOGIN, form)
    assert browser.post(LOGOUT, {"csrfmiddlewaretoken": planted}).status_code == 403
