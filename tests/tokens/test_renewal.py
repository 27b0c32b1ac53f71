"""Renewal by the holder, extension by an admin: how far a token's life can be moved, and how far not."""

from datetime import datetime, timedelta
from threading import Thread
from typing import Any

import pytest
from django.db import IntegrityError, connection
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.models import AuditEvent
from projects.lifecycle import update_project
from projects.models import Project
from tests.factories import AccessTokenFactory, ProjectFactory, issue_token
from tokens.lifecycle import (
    SHORTEST_RENEWAL,
    LifecycleError,
    ProjectInactiveError,
    RenewalLimitReachedError,
    RenewalNotPermittedError,
    TokenNotAliveError,
    extend,
    reactivate,
    renew,
    revoke,
)
from tokens.lifetime import MAX_TTL, MIN_TTL, NEVER, InvalidTTLError
from tokens.models import AccessToken

pytestmark = pytest.mark.django_db
HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)
HOLDER = "token:holder"


def renewable(*, longest_ttl: timedelta | None = None, **overrides: Any) -> AccessToken:
    project = ProjectFactory.create(permits_renewal=True, permits_never=True, longest_ttl=longest_ttl)
    token: AccessToken = AccessTokenFactory.create(project=project, **{"ttl": HOUR} | overrides)
    return token


def test_renewed_token_lives_its_lifetime_again_from_now() -> None:
    token = renewable()
    now = token.created_at + HOUR / 2
    assert renew(token, actor=HOLDER, now=now) is token
    stored = AccessToken.objects.get()
    assert (stored.expires_at, stored.renewed_at, stored.ttl) == (now + HOUR, now, HOUR)
    assert (token.expires_at, token.renewed_at) == (now + HOUR, now)


def test_renewal_leaves_an_audit_event_of_the_holder() -> None:
    token = renewable(name="laptop")
    before, now = token.expires_at, token.created_at + HOUR / 2
    renew(token, actor=HOLDER, now=now)
    event = AuditEvent.objects.get(action="token.renewed")
    assert (event.actor, event.subject_id, event.project_id) == (HOLDER, str(token.id), token.project_id)
    assert event.details == {"expires_at": {"before": before.isoformat(), "after": (now + HOUR).isoformat()}}


def test_renewal_is_a_change_that_the_poller_can_see() -> None:
    token = renewable()
    AccessToken.objects.update(updated_at=token.created_at - DAY)
    renew(token, actor=HOLDER, now=token.created_at + HOUR / 2)
    assert AccessToken.objects.get().updated_at >= token.created_at


def test_renewal_ends_at_the_projects_longest_lifetime_from_the_day_of_issue() -> None:
    token = renewable(longest_ttl=DAY, ttl=20 * HOUR)
    renew(token, actor=HOLDER, now=token.created_at + 10 * HOUR)
    assert token.expires_at == token.created_at + DAY
    with pytest.raises(RenewalLimitReachedError, match="cannot be renewed any further"):
        renew(token, actor=HOLDER, now=token.created_at + 11 * HOUR)
    assert AuditEvent.objects.filter(action="token.renewed").count() == 1


def test_renewal_ends_after_a_year_where_the_project_says_nothing() -> None:
    token = renewable(ttl=MAX_TTL - DAY)
    renew(token, actor=HOLDER, now=token.created_at + WEEK)
    assert token.expires_at == token.created_at + MAX_TTL


def test_renewal_never_shortens_a_life() -> None:
    token = renewable()
    extend(token, ttl=WEEK, actor="user:ada", now=token.created_at)
    renew(token, actor=HOLDER, now=token.created_at + HOUR)
    assert token.expires_at == token.created_at + WEEK
    assert not AuditEvent.objects.filter(action="token.renewed").exists()


def test_renewal_that_gives_next_to_nothing_does_nothing() -> None:
    token = renewable()
    expires_at = token.expires_at
    renew(token, actor=HOLDER, now=token.created_at + SHORTEST_RENEWAL / 2)
    assert token.expires_at == expires_at
    assert not AuditEvent.objects.filter(action="token.renewed").exists()
    renew(token, actor=HOLDER, now=token.created_at + 2 * SHORTEST_RENEWAL)
    assert token.expires_at > expires_at


def test_renewal_is_a_sign_of_life() -> None:
    token = renewable(idle_ttl=HOUR, ttl=DAY)
    now = token.created_at + 0.9 * HOUR
    renew(token, actor=HOLDER, now=now)
    assert token.idle_expires_at == now + HOUR


def test_renewal_is_off_where_the_project_does_not_permit_it() -> None:
    token = AccessTokenFactory.create(project=ProjectFactory.create(name="alpha"))
    with pytest.raises(RenewalNotPermittedError, match="The project alpha does not permit renewal"):
        renew(token, actor=HOLDER, now=token.created_at)
    assert AccessToken.objects.get().renewed_at is None


def test_renewal_asks_the_project_as_it_is_now() -> None:
    token = renewable()
    assert token.project.permits_renewal
    update_project(Project.objects.get(), permits_renewal=False, actor="user:ada")
    with pytest.raises(RenewalNotPermittedError):
        renew(token, actor=HOLDER, now=token.created_at)


def test_token_that_never_expires_has_nothing_to_renew() -> None:
    token = renewable(ttl=NEVER)
    before = AccessToken.objects.values().get()
    assert renew(token, actor=HOLDER, now=token.created_at + DAY).expires_at is None
    assert AccessToken.objects.values().get() == before


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"is_active": False}, "inactive"),
        ({"is_active": False, "revoked_at": timezone.now()}, "revoked"),
        ({"expires_at": timezone.now() - HOUR}, "expired"),
        ({"expires_at": timezone.now() - HOUR, "is_active": False}, "expired"),
        ({"idle_ttl": HOUR}, "idle"),
    ],
)
def test_dead_token_is_not_renewed(fields: dict[str, Any], state: str) -> None:
    token = renewable(ttl=DAY, **fields)
    with pytest.raises(TokenNotAliveError, match=f"A token that is {state} cannot be renewed."):
        renew(token, actor=HOLDER, now=token.created_at + 2 * HOUR)
    assert AccessToken.objects.get().renewed_at is None


def test_token_that_died_behind_our_back_is_not_renewed() -> None:
    token = renewable()
    revoke(AccessToken.objects.get(), actor="user:ada", now=token.created_at)
    with pytest.raises(TokenNotAliveError):
        renew(token, actor=HOLDER, now=token.created_at)


def test_token_that_has_made_all_its_requests_can_be_renewed() -> None:
    token = renewable(max_requests=1, request_count=1)
    renew(token, actor=HOLDER, now=token.created_at + HOUR / 2)
    assert (token.max_requests, token.request_count) == (1, 1)


def test_token_of_a_project_that_is_switched_off_is_not_renewed() -> None:
    token = renewable()
    Project.objects.update(is_active=False, deactivated_at=timezone.now())
    with pytest.raises(ProjectInactiveError):
        renew(token, actor=HOLDER, now=token.created_at)


def test_token_without_a_lifetime_of_its_own_is_renewed_by_its_projects_default() -> None:
    token = renewable(ttl=NEVER)
    extend(token, ttl=HOUR, actor="user:ada", now=token.created_at)
    update_project(token.project, default_ttl=DAY, actor="user:ada")
    now = token.created_at + HOUR / 2
    renew(token, actor=HOLDER, now=now)
    assert token.expires_at == now + DAY


def test_token_is_not_renewed_when_its_audit_event_cannot_be_written() -> None:
    token = renewable()
    with pytest.raises(IntegrityError):
        renew(token, actor="", now=token.created_at + HOUR / 2)
    assert AccessToken.objects.get().renewed_at is None


@pytest.mark.django_db(transaction=True)
def test_renewals_at_the_same_time_do_no_harm() -> None:
    token = renewable()
    now = token.created_at + HOUR / 2
    threads = [Thread(target=_renew_alone, args=(token.pk, now)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert AccessToken.objects.get().expires_at == now + HOUR
    assert AuditEvent.objects.filter(action="token.renewed").count() == 1  # the others give nothing more


def _renew_alone(pk: Any, now: datetime) -> None:
    try:
        renew(AccessToken.objects.get(pk=pk), actor=HOLDER, now=now)
    finally:
        connection.close()


def test_extended_token_lives_so_long_from_now() -> None:
    token = AccessTokenFactory.create(ttl=HOUR)
    now = token.created_at + HOUR / 2
    extend(token, ttl=WEEK, actor="user:ada", now=now)
    stored = AccessToken.objects.get()
    assert (stored.expires_at, stored.renewed_at, stored.ttl) == (now + WEEK, now, HOUR)
    assert token.expires_at == now + WEEK


def test_extension_leaves_an_audit_event() -> None:
    token = AccessTokenFactory.create(ttl=HOUR)
    before, now = token.expires_at, token.created_at
    extend(token, ttl=WEEK, actor="user:ada", now=now)
    event = AuditEvent.objects.get(action="token.extended")
    assert (event.actor, event.subject_id, event.project_id) == ("user:ada", str(token.id), token.project_id)
    assert event.details == {"expires_at": {"before": before.isoformat(), "after": (now + WEEK).isoformat()}}


@pytest.mark.parametrize("is_active", [True, False], ids=["as it expired", "after a clean-up"])
def test_expired_token_works_again_when_it_is_extended(is_active: bool) -> None:
    token = AccessTokenFactory.create(ttl=HOUR, idle_ttl=HOUR, is_active=is_active)
    now = token.created_at + WEEK
    extend(token, ttl=HOUR, actor="user:ada", now=now)
    assert AccessToken.objects.get().state(now) == "active"


def test_revoked_token_must_be_reactivated_first() -> None:
    token = AccessTokenFactory.create(ttl=HOUR)
    revoke(token, actor="user:ada", now=token.created_at)
    with pytest.raises(TokenNotAliveError, match="Reactivate it first"):
        extend(token, ttl=WEEK, actor="user:ada", now=token.created_at)
    assert AccessToken.objects.get().state(token.created_at) == "revoked"


def test_extension_stays_within_what_the_project_permits() -> None:
    token = AccessTokenFactory.create(project=ProjectFactory.create(longest_ttl=DAY))
    now = token.created_at + WEEK
    extend(token, ttl=DAY, actor="user:ada", now=now)
    assert token.expires_at == now + DAY
    for ttl in (DAY + MIN_TTL, NEVER, timedelta(0)):
        with pytest.raises(InvalidTTLError):
            extend(token, ttl=ttl, actor="user:ada", now=now)
    assert AccessToken.objects.get().expires_at == now + DAY


def test_token_is_extended_for_ever_where_the_project_permits_it() -> None:
    token = AccessTokenFactory.create(project=ProjectFactory.create(permits_never=True))
    extend(token, ttl=NEVER, actor="user:ada", now=token.created_at)
    assert AccessToken.objects.get().expires_at is None
    assert AuditEvent.objects.get(action="token.extended").details["expires_at"]["after"] is None


def test_token_is_not_extended_when_its_audit_event_cannot_be_written() -> None:
    token = AccessTokenFactory.create(ttl=HOUR)
    with pytest.raises(IntegrityError):
        extend(token, ttl=WEEK, actor="", now=token.created_at)
    assert AccessToken.objects.get().expires_at < token.created_at + WEEK


TTLS = st.integers(1, 72).map(lambda hours: hours * HOUR)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["renew", "extend", "revoke", "reactivate"]),
        st.integers(0, 20).map(lambda hours: hours * HOUR),
        TTLS,
    ),
    max_size=12,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ttl=TTLS, longest=TTLS, steps=STEPS)
def test_no_sequence_of_acts_moves_the_expiry_beyond_its_bounds(
    ttl: timedelta, longest: timedelta, steps: list[tuple[str, timedelta, timedelta]]
) -> None:
    project = ProjectFactory.create(permits_renewal=True, longest_ttl=longest)
    token, _ = issue_token(project=project, ttl=min(ttl, longest))
    now = token.created_at
    bound = token.created_at + longest
    for act, pause, asked in steps:
        now += pause
        before, alive = token.expires_at, token.state(now) == "active"
        try:
            if act == "renew":
                renew(token, actor=HOLDER, now=now)
                assert alive
                assert token.expires_at >= before
            elif act == "extend":
                extend(token, ttl=asked, actor="user:ada", now=now)
                bound = max(bound, now + longest)
                assert token.expires_at == now + asked
            else:
                {"revoke": revoke, "reactivate": reactivate}[act](token, actor="user:ada", now=now)
                assert token.expires_at == before
        except (LifecycleError, InvalidTTLError):
            assert AccessToken.objects.get(pk=token.pk).expires_at == before
        assert token.expires_at <= bound
