"""Sessions: nobody can foist one on somebody else, or go on with one that has ended."""

from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse

from tests.factories import UserFactory
from tests.llm_proxy_site.people.test_second_factor import begin, code, enrol

pytestmark = pytest.mark.django_db
LOGIN, LOGOUT, INDEX = reverse("admin:login"), reverse("admin:logout"), reverse("admin:index")
PASSWORD = "correct horse battery staple"


@pytest.fixture
def ada() -> Client:
    """Who has a session that an attacker knows, of before she has signed in."""
    UserFactory(superuser=True, username="ada", password=PASSWORD)
    client = Client()
    session = client.session
    session["foisted"] = True
    session.save()
    return client


def key_of(client: Client) -> str:
    return client.cookies["sessionid"].value


def sign_in(client: Client, **form: Any) -> Any:
    return client.post(LOGIN, {"username": "ada", "password": PASSWORD, "next": INDEX, **form})


def is_let_in(key: str) -> bool:
    stranger = Client()
    stranger.cookies["sessionid"] = key
    return stranger.get(INDEX).status_code == 200


def test_signing_in_makes_a_new_session(ada: Client) -> None:
    foisted = key_of(ada)
    sign_in(ada)
    assert is_let_in(key_of(ada))
    assert not is_let_in(foisted)
    assert not Session.objects.filter(session_key=foisted).exists()


def test_signing_in_with_a_second_factor_makes_a_new_session(ada: Client) -> None:
    sign_in(ada)
    secret, _ = enrol(ada)
    other = Client()
    session = other.session
    session.save()
    foisted = key_of(other)
    sign_in(other)
    assert not is_let_in(foisted)
    sign_in(other, code=code(secret))
    assert is_let_in(key_of(other))
    assert not is_let_in(foisted)


def test_taking_up_a_second_factor_makes_a_new_session(ada: Client) -> None:
    sign_in(ada)
    before = key_of(ada)
    secret = begin(ada)
    ada.post(reverse("admin:second_factor"), {"act": "confirm", "code": code(secret, later=-1)})
    assert key_of(ada) != before
    assert is_let_in(key_of(ada))
    assert not is_let_in(before)


def test_signing_out_ends_the_session(ada: Client) -> None:
    sign_in(ada)
    before = key_of(ada)
    assert ada.get(LOGOUT).status_code == 405
    assert is_let_in(before)
    ada.post(LOGOUT)
    assert not is_let_in(before)
    assert not Session.objects.filter(session_key=before).exists()


def test_a_new_password_ends_the_other_sessions(ada: Client) -> None:
    sign_in(ada)
    other = Client()
    sign_in(other)
    before, new = key_of(ada), "another good password"
    ada.post(
        reverse("admin:password_change"),
        {"old_password": PASSWORD, "new_password1": new, "new_password2": new},
    )
    assert key_of(ada) != before
    assert is_let_in(key_of(ada))
    assert not is_let_in(before)
    assert not is_let_in(key_of(other))


def test_who_signs_in_as_somebody_else_takes_nothing_along(ada: Client) -> None:
    UserFactory(is_staff=True, username="bob", password=PASSWORD)
    ada.post(LOGIN, {"username": "bob", "password": PASSWORD})
    bobs = key_of(ada)
    session = ada.session
    session["of bob"] = True
    session.save()
    sign_in(ada)
    assert key_of(ada) != bobs
    assert "of bob" not in ada.session
    assert not is_let_in(bobs)
