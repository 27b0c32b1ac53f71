from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError
from django.db.models import ProtectedError
from django.utils import timezone

from tests.factories import AccessTokenFactory, issue_token
from tokens.format import generate
from tokens.models import AccessToken

pytestmark = pytest.mark.django_db
NOW = timezone.now()
PAST, FUTURE = NOW - timedelta(seconds=1), NOW + timedelta(seconds=1)


@pytest.mark.parametrize("form", ["{}", ' "{}"\n', "Bearer {}", "'{}'"])
def test_token_is_found_by_its_plain_text_as_pasted(form: str) -> None:
    token, plain = issue_token()
    AccessTokenFactory.create()
    assert AccessToken.objects.of(form.format(plain)).get() == token


def test_token_is_found_by_its_id() -> None:
    token, _ = AccessTokenFactory.create(), AccessTokenFactory.create()
    assert AccessToken.objects.of(f" {token.id} ").get() == token
    assert AccessToken.objects.of(token.id.hex).get() == token


@pytest.mark.parametrize(
    "text",
    ["", "x", "laptop", "0", "%", generate()[1], str(generate()[0])],
    ids=["nothing", "letter", "name", "digit", "wildcard", "token", "id"],
)
def test_any_other_text_finds_nothing(text: str) -> None:
    AccessTokenFactory.create(name="laptop")
    assert not AccessToken.objects.of(text).exists()


def test_plain_text_with_a_typo_finds_nothing() -> None:
    _, plain = issue_token()
    assert not AccessToken.objects.of(plain.swapcase()).exists()


def test_token_is_found_among_those_asked_for_only() -> None:
    token, plain = issue_token()
    assert not AccessToken.objects.exclude(project=token.project).of(plain).exists()


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({}, "active"),
        ({"expires_at": FUTURE, "max_requests": 2, "request_count": 1}, "active"),
        ({"expires_at": None}, "active"),
        ({"max_requests": 2, "request_count": 2}, "exhausted"),
        ({"max_requests": 2, "request_count": 3}, "exhausted"),
        ({"expires_at": NOW}, "expired"),
        ({"expires_at": PAST, "max_requests": 1, "request_count": 1}, "expired"),
        ({"is_active": False, "expires_at": PAST}, "inactive"),
        ({"is_active": False, "revoked_at": NOW, "expires_at": PAST}, "revoked"),
    ],
)
def test_state_is_the_first_reason_not_to_work(fields: dict[str, Any], state: str) -> None:
    assert AccessTokenFactory.create(**fields).state(NOW) == state


def test_token_is_called_by_its_name_or_by_what_may_be_shown() -> None:
    token, plain = issue_token()
    assert str(token) == token.display == f"sk-wt-…{plain[-4:]}"
    assert str(AccessTokenFactory.create(name="laptop")) == "laptop"


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"revoked_at": NOW, "is_active": True}, "access_token_revoked_is_inactive"),
        ({"max_requests": 0}, "access_token_cap_is_positive"),
        ({"digest": ""}, "access_token_has_a_digest"),
    ],
)
def test_database_refuses_a_row_that_makes_no_sense(fields: dict[str, Any], constraint: str) -> None:
    AccessTokenFactory.create()
    with pytest.raises(IntegrityError, match=constraint):
        AccessToken.objects.update(**fields)


@pytest.mark.parametrize("fields", [{"max_requests": -1}, {"request_count": -1}, {"digest": None}])
def test_database_refuses_a_number_below_zero_and_a_missing_digest(fields: dict[str, Any]) -> None:
    AccessTokenFactory.create()
    with pytest.raises(IntegrityError):
        AccessToken.objects.update(**fields)


def test_database_refuses_a_second_token_with_one_digest() -> None:
    AccessTokenFactory.create()
    AccessTokenFactory.create()
    with pytest.raises(IntegrityError):
        AccessToken.objects.update(digest="a" * 64)


def test_project_with_tokens_cannot_be_deleted() -> None:
    token = AccessTokenFactory.create()
    with pytest.raises(ProtectedError):
        token.project.delete()
