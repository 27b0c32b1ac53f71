from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.utils import timezone

from audit.models import AuditEvent
from projects.models import Project
from tests.factories import AccessTokenFactory, ProjectFactory, stored_text
from tokens.format import digest, parse
from tokens.lifecycle import ProjectInactiveError, issue, revoke
from tokens.lifetime import MAX_TTL, MIN_TTL, NEVER, InvalidTTLError
from tokens.models import AccessToken

pytestmark = pytest.mark.django_db
NOW = timezone.now()


@pytest.fixture
def project() -> Project:
    return ProjectFactory.create()


def issued(project: Project, **overrides: Any) -> tuple[AccessToken, str]:
    arguments = {"ttl": timedelta(hours=1), "actor": "user:ada", "now": NOW} | overrides
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


def test_token_may_be_made_to_live_for_ever(project: Project) -> None:
    issued(project, ttl=NEVER)
    assert AccessToken.objects.get().expires_at is None


@pytest.mark.parametrize("max_requests", [None, 0])
def test_no_cap_is_no_cap(project: Project, max_requests: int | None) -> None:
    issued(project, max_requests=max_requests)
    assert AccessToken.objects.get().max_requests is None


def test_issue_leaves_an_audit_event(project: Project) -> None:
    token, _ = issued(project, name="laptop", max_requests=5)
    event = AuditEvent.objects.get()
    assert (event.action, event.actor, event.project_id) == ("token.issued", "user:ada", project.id)
    assert (event.subject_type, event.subject_id, event.subject_name) == (
        "accesstoken",
        str(token.id),
        "laptop",
    )
    assert event.details == {"expires_at": (NOW + timedelta(hours=1)).isoformat(), "max_requests": 5}


def test_audit_event_of_a_token_without_bounds_says_so(project: Project) -> None:
    issued(project, ttl=NEVER)
    assert AuditEvent.objects.get().details == {"expires_at": None, "max_requests": None}


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


def test_revoked_token_is_over_for_good() -> None:
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
