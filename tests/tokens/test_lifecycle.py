from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.utils import timezone

from audit.models import AuditEvent
from projects.limits import BUDGETS, LIMITS
from projects.models import Project
from tests.factories import AccessTokenFactory, ProjectFactory, issue_token, stored_text
from tokens.format import digest, parse
from tokens.lifecycle import MAX_COUNT, ProjectInactiveError, issue, issue_many, reactivate, revoke
from tokens.lifetime import MAX_TTL, MIN_TTL, NEVER, InvalidTTLError
from tokens.models import AccessToken

pytestmark = pytest.mark.django_db
NOW = timezone.now()
HOUR, WEEK = timedelta(hours=1), timedelta(weeks=1)
LATER = NOW + timedelta(minutes=1)


@pytest.fixture
def project() -> Project:
    return ProjectFactory.create()


def issued(project: Project, **overrides: Any) -> tuple[AccessToken, str]:
    arguments = {"ttl": HOUR, "actor": "user:ada", "now": NOW} | overrides
    return issue(project, **arguments)


def test_issued_token_is_stored_as_its_digest(project: Project) -> None:
    token, plain = issued(project, name=" laptop ", max_requests=5)
    stored = AccessToken.objects.get()
    assert stored == token
    assert stored.id == parse(plain).id
    assert (stored.digest, stored.last_four) == (digest(plain), plain[-4:])
    assert (stored.project, stored.name, stored.max_requests) == (project, "laptop", 5)
    assert (stored.is_active, stored.revoked_at, stored.request_count) == (True, None, 0)


def test_plain_text_is_in_no_row(project: Project) -> None:
    token, plain = issued(project, name="laptop")
    assert token.digest in stored_text()
    assert plain not in stored_text()


@pytest.mark.parametrize("ttl", [MIN_TTL, timedelta(hours=24), MAX_TTL])
def test_token_lives_as_long_as_asked_from_now(project: Project, ttl: timedelta) -> None:
    issued(project, ttl=ttl)
    assert AccessToken.objects.get().expires_at == NOW + ttl


def test_token_lives_as_its_project_says_when_nothing_is_asked() -> None:
    issued(ProjectFactory.create(default_ttl=WEEK), ttl=None)
    token = AccessToken.objects.get()
    assert (token.ttl, token.expires_at) == (WEEK, NOW + WEEK)


def test_default_lifetime_is_shortened_to_the_longest_that_the_project_permits() -> None:
    issued(ProjectFactory.create(longest_ttl=HOUR), ttl=None)
    assert AccessToken.objects.get().expires_at == NOW + HOUR


def test_lifetime_that_is_asked_for_is_not_shortened_but_refused() -> None:
    with pytest.raises(InvalidTTLError, match="The project alpha permits a lifetime of at most 1h"):
        issued(ProjectFactory.create(name="alpha", longest_ttl=HOUR), ttl=WEEK)
    assert not AccessToken.objects.exists()


def test_token_may_be_made_to_live_for_ever_where_the_project_permits_it(project: Project) -> None:
    issued(ProjectFactory.create(permits_never=True), ttl=NEVER)
    token = AccessToken.objects.get()
    assert (token.ttl, token.expires_at) == (None, None)
    with pytest.raises(InvalidTTLError, match="does not permit tokens that never expire"):
        issued(project, ttl=NEVER)


def test_token_keeps_its_lifetime_and_its_idle_lifetime(project: Project) -> None:
    issued(project, ttl=WEEK, idle_ttl=HOUR)
    token = AccessToken.objects.get()
    assert (token.ttl, token.idle_ttl) == (WEEK, HOUR)
    assert token.idle_expires_at == token.created_at + HOUR


@pytest.mark.parametrize("idle_ttl", [None, NEVER])
def test_token_without_an_idle_lifetime_may_stay_unused(project: Project, idle_ttl: timedelta | None) -> None:
    issued(project, idle_ttl=idle_ttl)
    assert AccessToken.objects.get().idle_ttl is None


@pytest.mark.parametrize("idle_ttl", [timedelta(0), timedelta(seconds=59), timedelta(days=366)])
def test_idle_lifetime_out_of_bounds_is_refused(project: Project, idle_ttl: timedelta) -> None:
    with pytest.raises(InvalidTTLError):
        issued(project, idle_ttl=idle_ttl)


def test_token_has_the_limits_and_budgets_that_are_asked_for(project: Project) -> None:
    limits = {field: number for number, field in enumerate([*LIMITS, *BUDGETS], start=1)}
    issued(project, **limits)
    token = AccessToken.objects.get()
    assert {field: getattr(token, field) for field in limits} == limits


def test_token_has_no_limit_that_is_not_asked_for(project: Project) -> None:
    issued(project, max_requests=None)
    token = AccessToken.objects.get()
    assert {getattr(token, field) for field in (*LIMITS, *BUDGETS)} == {None}


@pytest.mark.parametrize("field", ["max_requests", "total_budget_microusd"])
def test_limit_of_nothing_is_refused_rather_than_taken_for_none(project: Project, field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        issued(project, **{field: 0})
    assert list(caught.value.message_dict) == [field]
    assert not AccessToken.objects.exists()


def test_issue_leaves_an_audit_event(project: Project) -> None:
    token, _ = issued(project, name="laptop", max_requests=5, idle_ttl=HOUR, daily_budget_microusd=10)
    event = AuditEvent.objects.get()
    assert (event.action, event.actor, event.project_id) == ("token.issued", "user:ada", project.id)
    assert (event.subject_type, event.subject_id, event.subject_name) == (
        "accesstoken",
        str(token.id),
        "laptop",
    )
    assert event.details == {
        "expires_at": (NOW + HOUR).isoformat(),
        "idle_ttl": "1h",
        "max_requests": 5,
        "daily_budget_microusd": 10,
    }


def test_audit_event_of_a_token_without_bounds_says_so() -> None:
    issued(ProjectFactory.create(permits_never=True), ttl=NEVER)
    assert AuditEvent.objects.get().details == {"expires_at": None}


def test_token_is_not_issued_when_its_audit_event_cannot_be_written(project: Project) -> None:
    with pytest.raises(IntegrityError):
        issued(project, actor="")
    assert not AccessToken.objects.exists()


@pytest.mark.parametrize("ttl", [timedelta(0), timedelta(seconds=59), timedelta(days=366)])
def test_lifetime_out_of_bounds_is_refused(project: Project, ttl: timedelta) -> None:
    with pytest.raises(InvalidTTLError):
        issued(project, ttl=ttl)
    assert not AccessToken.objects.exists()


@pytest.mark.parametrize(
    "bad", [{"name": "n" * 101}, {"max_requests": -1}, {"max_requests": 2**63}, {"max_requests": 2**64}]
)
def test_bad_name_or_cap_is_refused(project: Project, bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        issued(project, **bad)
    assert bad.keys() <= caught.value.message_dict.keys()
    assert not AccessToken.objects.exists()
    assert not AuditEvent.objects.exists()


def test_project_that_is_switched_off_gets_no_token() -> None:
    with pytest.raises(ProjectInactiveError, match="The project alpha is not active"):
        issued(ProjectFactory.create(name="alpha", is_active=False))
    assert not AccessToken.objects.exists()


def test_tokens_are_issued_at_once_and_numbered(project: Project) -> None:
    issued = issue_many(project, 3, name=" ci ", ttl=HOUR, max_requests=5, actor="user:ada", now=NOW)
    stored = [AccessToken.objects.of(plain).get() for _, plain in issued]
    assert [token.name for token in stored] == ["ci-1", "ci-2", "ci-3"]
    assert stored == [token for token, _ in issued]
    assert len({token.pk for token in stored}) == 3
    assert {(token.project, token.expires_at, token.max_requests) for token in stored} == {
        (project, NOW + HOUR, 5)
    }


def test_each_of_many_tokens_has_its_audit_event(project: Project) -> None:
    tokens = [token for token, _ in issue_many(project, 3, name="ci", actor="user:ada", now=NOW)]
    events = AuditEvent.objects.order_by("id")
    assert [event.subject_id for event in events] == [str(token.id) for token in tokens]
    assert {(event.action, event.actor, event.project_id) for event in events} == {
        ("token.issued", "user:ada", project.id)
    }


def test_plain_texts_of_many_tokens_are_in_no_row(project: Project) -> None:
    issued = issue_many(project, 3, actor="user:ada", now=NOW)
    stored = stored_text()
    assert all(token.digest in stored and plain not in stored for token, plain in issued)


def test_many_tokens_without_a_name_stay_without_one(project: Project) -> None:
    issue_many(project, 2, actor="user:ada", now=NOW)
    assert {token.name for token in AccessToken.objects.all()} == {""}


@pytest.mark.parametrize("count", [-1, 0, MAX_COUNT + 1])
def test_number_of_tokens_at_once_is_bounded(project: Project, count: int) -> None:
    with pytest.raises(ValidationError, match="From 1 to 10000 tokens can be issued at once"):
        issue_many(project, count, actor="user:ada", now=NOW)
    assert not AccessToken.objects.exists()


@pytest.mark.parametrize(
    "bad",
    [
        {"name": "n" * 98},
        {"max_requests": 0},
        {"max_requests": 2**63},
        {"ttl": WEEK},
        {"ttl": NEVER},
        {"idle_ttl": timedelta(0)},
        {"actor": ""},
    ],
)
def test_many_tokens_are_issued_all_or_none(bad: dict[str, Any]) -> None:
    project = ProjectFactory.create(longest_ttl=HOUR)
    with pytest.raises((ValidationError, InvalidTTLError, IntegrityError)):
        issue_many(project, 10, **{"actor": "user:ada", "now": NOW} | bad)
    assert not AccessToken.objects.exists()
    assert not AuditEvent.objects.exists()


def test_project_that_is_switched_off_gets_no_tokens_at_once() -> None:
    with pytest.raises(ProjectInactiveError):
        issue_many(ProjectFactory.create(is_active=False), 2, actor="user:ada", now=NOW)


def test_revoked_token_is_refused_until_it_is_reactivated() -> None:
    token = AccessTokenFactory.create()
    assert revoke(token, actor="user:ada", now=NOW) is True
    stored = AccessToken.objects.get()
    assert (stored.is_active, stored.revoked_at, stored.updated_at) == (False, NOW, NOW)
    assert (token.is_active, token.revoked_at) == (False, NOW)


def test_revocation_leaves_an_audit_event() -> None:
    token = AccessTokenFactory.create(name="laptop")
    revoke(token, actor="user:ada", now=NOW)
    event = AuditEvent.objects.get(action="token.revoked")
    assert (event.actor, event.subject_id, event.subject_name) == ("user:ada", str(token.id), "laptop")
    assert event.project_id == token.project_id


def test_second_revocation_changes_nothing_even_with_a_stale_row() -> None:
    token = AccessTokenFactory.create()
    stale = AccessToken.objects.get()
    revoke(token, actor="user:ada", now=NOW)
    assert revoke(stale, actor="user:bob", now=NOW + timedelta(hours=1)) is False
    assert AccessToken.objects.get().revoked_at == stale.revoked_at == NOW
    assert AuditEvent.objects.filter(action="token.revoked").count() == 1


def test_inactive_token_can_be_revoked() -> None:
    token = AccessTokenFactory.create(is_active=False)
    assert revoke(token, actor="user:ada", now=NOW) is True


def test_token_is_not_revoked_when_its_audit_event_cannot_be_written() -> None:
    token = AccessTokenFactory.create()
    with pytest.raises(IntegrityError):
        revoke(token, actor="", now=NOW)
    assert AccessToken.objects.get().revoked_at is None


def test_reactivated_token_is_as_it_was_before_its_revocation() -> None:
    token, plain = issue_token(
        max_requests=5, total_budget_microusd=7, request_count=3, idle_ttl=HOUR, name="laptop"
    )
    before: dict[str, Any] = dict(AccessToken.objects.values().get())
    revoke(token, actor="user:ada", now=NOW)
    assert reactivate(token, actor="user:bob", now=LATER) is True
    after: dict[str, Any] = dict(AccessToken.objects.values().get())
    assert AccessToken.objects.of(plain).get().state(NOW) == "active"
    assert after.pop("renewed_at") == after.pop("updated_at") == LATER
    assert after == {field: value for field, value in before.items() if field in after}
    assert (token.is_active, token.revoked_at, token.renewed_at) == (True, None, LATER)


def test_reactivation_is_a_sign_of_life() -> None:
    token = AccessTokenFactory.create(idle_ttl=HOUR, ttl=WEEK)
    revoke(token, actor="user:ada", now=NOW)
    reactivate(token, actor="user:ada", now=NOW + 5 * HOUR)
    assert token.state(NOW + 5.5 * HOUR) == "active"


def test_reactivation_leaves_an_audit_event() -> None:
    token = AccessTokenFactory.create(name="laptop", is_active=False)
    reactivate(token, actor="user:ada", now=NOW)
    event = AuditEvent.objects.get(action="token.reactivated")
    assert (event.actor, event.subject_id, event.subject_name) == ("user:ada", str(token.id), "laptop")
    assert event.project_id == token.project_id


def test_token_that_was_not_revoked_is_not_reactivated() -> None:
    token = AccessTokenFactory.create()
    assert reactivate(token, actor="user:ada", now=LATER) is False
    assert AccessToken.objects.get().renewed_at is None
    assert not AuditEvent.objects.filter(action="token.reactivated").exists()


def test_reactivated_token_that_had_expired_stays_expired() -> None:
    token = AccessTokenFactory.create(expires_at=NOW)
    revoke(token, actor="user:ada", now=NOW)
    reactivate(token, actor="user:ada", now=LATER)
    assert token.state(LATER) == "expired"


def test_token_is_not_reactivated_when_its_audit_event_cannot_be_written() -> None:
    token = AccessTokenFactory.create(is_active=False)
    with pytest.raises(IntegrityError):
        reactivate(token, actor="", now=NOW)
    assert not AccessToken.objects.get().is_active
