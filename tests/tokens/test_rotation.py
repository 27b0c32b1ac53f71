"""Rotation: a new plain text for the same token, while the old one works until the grace ends."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.models import AuditEvent
from projects.limits import BUDGETS, LIMITS
from tests.factories import AccessTokenFactory, issue_token, stored_text
from tokens.format import digest, is_well_formed, parse
from tokens.lifecycle import TokenNotAliveError, revoke, rotate
from tokens.lifetime import MAX_GRACE, InvalidTTLError
from tokens.loader import load_grant
from tokens.models import AccessToken

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
LIMITS_OF_IT = {field: number for number, field in enumerate([*LIMITS, *BUDGETS], start=1)}
MOVED = {"digest", "prefix", "last_four", "previous_digest", "previous_digest_dies_at", "updated_at"}


def rotated(token: AccessToken, *, grace: timedelta = HOUR, now: datetime | None = None) -> str:
    return rotate(token, grace=grace, actor="user:ada", now=now or timezone.now())


def test_rotation_gives_a_new_plain_text_for_the_same_id() -> None:
    token, old = issue_token()
    new = rotated(token)
    assert new != old
    assert parse(new).id == parse(old).id == token.id
    stored = AccessToken.objects.get()
    assert (stored.digest, stored.last_four) == (digest(new), new[-4:])
    assert AccessToken.objects.of(new).get() == token


def test_old_plain_text_works_until_the_grace_ends() -> None:
    token, old = issue_token()
    now = timezone.now()
    rotated(token, now=now)
    assert (token.previous_digest, token.previous_digest_dies_at) == (digest(old), now + HOUR)
    assert load_grant(digest(old)).token_id == token.id
    AccessToken.objects.update(previous_digest_dies_at=now)
    assert load_grant(digest(old)) is None


def test_old_plain_text_dies_at_once_without_a_grace() -> None:
    token, old = issue_token()
    rotated(token, grace=timedelta(0))
    assert (token.previous_digest, token.previous_digest_dies_at) == (None, None)
    assert load_grant(digest(old)) is None


def test_second_rotation_ends_the_oldest_plain_text_at_once() -> None:
    token, first = issue_token()
    second = rotated(token)
    third = rotated(token)
    assert [load_grant(digest(plain)) is None for plain in (first, second, third)] == [True, False, False]


def test_old_plain_text_still_finds_the_token_that_is_to_be_revoked() -> None:
    token, old = issue_token()
    rotated(token)
    assert AccessToken.objects.of(old).get() == token


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.timedeltas(timedelta(0), MAX_GRACE), min_size=1, max_size=4))
def test_rotation_keeps_id_counters_limits_and_lifetimes(graces: list[timedelta]) -> None:
    token, plain = issue_token(request_count=3, idle_ttl=HOUR, last_used_at=timezone.now(), **LIMITS_OF_IT)
    before: dict[str, Any] = dict(AccessToken.objects.values().get(pk=token.pk))
    plains = [plain, *(rotated(token, grace=grace) for grace in graces)]
    after: dict[str, Any] = dict(AccessToken.objects.values().get(pk=token.pk))
    assert {field for field in before if before[field] != after[field]} <= MOVED
    assert len(set(plains)) == len(plains)
    assert all(is_well_formed(plain) for plain in plains)
    assert after["digest"] == digest(plains[-1])
    assert after["previous_digest"] == (digest(plains[-2]) if graces[-1] else None)


def test_rotation_leaves_an_audit_event() -> None:
    token, _ = issue_token(name="laptop")
    now = timezone.now()
    rotated(token, now=now)
    event = AuditEvent.objects.get(action="token.rotated")
    assert (event.actor, event.subject_id, event.project_id) == ("user:ada", str(token.id), token.project_id)
    assert event.details == {"previous_digest_dies_at": (now + HOUR).isoformat()}


def test_no_plain_text_is_in_any_row() -> None:
    token, old = issue_token()
    new = rotated(token)
    stored = stored_text()
    assert digest(old) in stored
    assert digest(new) in stored
    assert old not in stored
    assert new not in stored


def test_rotation_is_a_change_that_the_poller_can_see() -> None:
    token, _ = issue_token()
    AccessToken.objects.update(updated_at=timezone.now() - HOUR)
    before = timezone.now()
    rotated(token)
    assert AccessToken.objects.get().updated_at >= before


@pytest.mark.parametrize("grace", [-HOUR, MAX_GRACE + HOUR])
def test_grace_out_of_bounds_is_refused(grace: timedelta) -> None:
    token, old = issue_token()
    with pytest.raises(InvalidTTLError, match="A grace is at least 0 and at most 30 days"):
        rotated(token, grace=grace)
    assert AccessToken.objects.get().digest == digest(old)


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"is_active": False}, "inactive"),
        ({"expires_at": timezone.now()}, "expired"),
        ({"idle_ttl": timedelta(microseconds=1)}, "idle"),
    ],
)
def test_dead_token_is_not_rotated(fields: dict[str, Any], state: str) -> None:
    token, old = issue_token(**fields)
    with pytest.raises(TokenNotAliveError, match=f"A token that is {state} cannot be rotated."):
        rotated(token)
    assert AccessToken.objects.get().digest == digest(old)


def test_token_that_was_revoked_behind_our_back_is_not_rotated() -> None:
    token = AccessTokenFactory.create()
    revoke(AccessToken.objects.get(), actor="user:ada", now=timezone.now())
    with pytest.raises(TokenNotAliveError, match="A token that is revoked cannot be rotated"):
        rotated(token)


def test_token_is_not_rotated_when_its_audit_event_cannot_be_written() -> None:
    token, old = issue_token()
    with pytest.raises(IntegrityError):
        rotate(token, grace=HOUR, actor="", now=timezone.now())
    assert AccessToken.objects.get().digest == digest(old)
