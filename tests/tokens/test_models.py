from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import DataError, IntegrityError
from django.db.models import ProtectedError
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.factories import AccessTokenFactory, issue_token
from tokens.format import generate
from tokens.models import STATES, AccessToken

pytestmark = pytest.mark.django_db
NOW = timezone.now()
HOUR = timedelta(hours=1)
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
        ({"is_active": False}, "inactive"),
        ({"is_active": False, "expires_at": PAST}, "expired"),
        ({"idle_ttl": 2 * HOUR}, "active"),
        ({"idle_ttl": HOUR}, "idle"),
        ({"idle_ttl": HOUR, "is_active": False}, "idle"),
        ({"idle_ttl": HOUR, "renewed_at": PAST}, "active"),
        ({"idle_ttl": HOUR, "last_used_at": PAST}, "active"),
        ({"idle_ttl": HOUR, "expires_at": PAST}, "expired"),
        ({"is_active": False, "revoked_at": NOW, "expires_at": PAST}, "revoked"),
    ],
)
def test_state_is_the_first_reason_not_to_work(fields: dict[str, Any], state: str) -> None:
    assert AccessTokenFactory.create(created_at=NOW - HOUR, **fields).state(NOW) == state


def test_token_is_called_by_its_name_or_by_what_may_be_shown() -> None:
    token, plain = issue_token()
    assert str(token) == token.display == f"sk-wt-…{plain[-4:]}"
    assert str(AccessTokenFactory.create(name="laptop")) == "laptop"


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("ci-1", {"ci-1"}),
        ("ci-*", {"ci-1", "ci-22"}),
        ("ci-?", {"ci-1"}),
        ("*1", {"ci-1", "CI-1", "a.1"}),
        ("*", {"ci-1", "ci-22", "CI-1", "a.1", "[x] (y)", ""}),
        ("", {""}),
        ("a.?", {"a.1"}),
        ("[x] (y)", {"[x] (y)"}),
        (".*", set()),
        ("%", set()),
        ("ci", set()),
    ],
)
def test_tokens_are_found_by_a_pattern_of_their_whole_name(pattern: str, names: set[str]) -> None:
    for name in ("ci-1", "ci-22", "CI-1", "a.1", "[x] (y)", ""):
        AccessTokenFactory.create(name=name)
    assert {token.name for token in AccessToken.objects.named_like(pattern)} == names


def test_old_tokens_are_those_issued_by_then() -> None:
    old = AccessTokenFactory.create(created_at=NOW - HOUR)
    AccessTokenFactory.create(created_at=NOW - HOUR + timedelta.resolution)
    assert AccessToken.objects.older_than(NOW - HOUR).get() == old


@pytest.mark.parametrize(
    ("created_at", "last_used_at", "unused"),
    [
        (NOW - HOUR, None, True),
        (NOW - 2 * HOUR, NOW - HOUR, True),
        (NOW - 2 * HOUR, PAST, False),
        (PAST, None, False),
    ],
)
def test_unused_tokens_are_those_last_used_or_issued_by_then(
    created_at: datetime, last_used_at: datetime | None, unused: bool
) -> None:
    AccessTokenFactory.create(created_at=created_at, last_used_at=last_used_at)
    assert AccessToken.objects.unused_since(NOW - HOUR).exists() is unused


INSTANTS = st.sampled_from([NOW - 2 * HOUR, NOW - HOUR, PAST, NOW, FUTURE])


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    created_at=INSTANTS,
    expires_at=st.none() | INSTANTS,
    idle_ttl=st.none() | st.sampled_from([timedelta(seconds=1), HOUR, 2 * HOUR]),
    renewed_at=st.none() | INSTANTS,
    last_used_at=st.none() | INSTANTS,
)
def test_database_and_row_agree_on_who_has_expired(**fields: Any) -> None:
    token = AccessTokenFactory.create(**fields)
    has_expired = token.state(NOW) in ("expired", "idle")
    assert AccessToken.objects.expired(NOW).filter(pk=token.pk).exists() is has_expired
    assert AccessToken.objects.dead_before(NOW).filter(pk=token.pk).exists() is has_expired


def test_revoked_token_is_dead_from_its_revocation_on() -> None:
    token = AccessTokenFactory.create(is_active=False, revoked_at=NOW)
    assert AccessToken.objects.dead_before(NOW).get() == token
    assert not AccessToken.objects.dead_before(PAST).exists()
    assert not AccessToken.objects.expired(NOW).exists()


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"revoked_at": NOW, "is_active": True}, "access_token_revoked_is_inactive"),
        ({"max_requests": 0}, "accesstoken_limits_are_positive"),
        ({"daily_budget_microusd": 0}, "accesstoken_limits_are_positive"),
        ({"previous_digest": "a" * 64}, "access_token_previous_digest_dies"),
        ({"previous_digest_dies_at": NOW}, "access_token_previous_digest_dies"),
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
    with pytest.raises((IntegrityError, DataError)):  # MySQL's columns are unsigned
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


def test_tokens_are_found_by_the_state_that_they_say_they_are_in() -> None:
    rows: list[dict[str, Any]] = [
        {},
        {"expires_at": None},
        {"max_requests": 2, "request_count": 1},
        {"max_requests": 2, "request_count": 2},
        {"idle_ttl": HOUR},
        {"idle_ttl": HOUR, "created_at": NOW - 2 * HOUR},
        {"idle_ttl": HOUR, "created_at": NOW - 2 * HOUR, "last_used_at": NOW},
        {"idle_ttl": HOUR, "created_at": NOW - 2 * HOUR, "expires_at": PAST},
        {"expires_at": PAST, "max_requests": 1, "request_count": 1},
        {"is_active": False},
        {"is_active": False, "expires_at": PAST},
        {"is_active": False, "revoked_at": NOW, "expires_at": PAST},
        {"is_active": False, "max_requests": 1, "request_count": 1},
    ]
    tokens = [AccessTokenFactory.create(**row) for row in rows]
    found = {state: set(AccessToken.objects.in_state(state, NOW)) for state in STATES}
    assert all(found.values())
    for token in tokens:
        assert [state for state in STATES if token in found[state]] == [token.state(NOW)]
