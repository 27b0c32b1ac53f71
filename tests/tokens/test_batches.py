from datetime import timedelta

import pytest
from django.db import IntegrityError
from django.utils import timezone

from audit.models import AuditEvent
from tests.factories import AccessTokenFactory, DailySpendFactory, ProjectFactory, UsageRecordFactory
from tokens import batches
from tokens.batches import DELETED_AFTER, deactivate_expired, deletable, delete_dead, revoke_many
from tokens.lifecycle import revoke
from tokens.models import AccessToken
from usage.models import DailySpend, UsageRecord

pytestmark = pytest.mark.django_db
NOW = timezone.now()
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BEFORE = NOW - 100 * DAY


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH_ROWS", 2)


def events(action: str) -> dict[str, AuditEvent]:
    """By the id of their subject."""
    return {event.subject_id: event for event in AuditEvent.objects.filter(action=action)}


def test_all_the_given_tokens_are_revoked() -> None:
    project = ProjectFactory.create()
    tokens = [AccessTokenFactory.create(project=project) for _ in range(5)]
    other = AccessTokenFactory.create()
    assert revoke_many(AccessToken.objects.filter(project=project), actor="user:ada", now=NOW) == 5
    assert set(AccessToken.objects.filter(is_active=False, revoked_at=NOW)) == set(tokens)
    assert AccessToken.objects.get(pk=other.pk).revoked_at is None
    assert events("token.revoked").keys() == {str(token.id) for token in tokens}
    assert {(event.actor, event.project_id) for event in events("token.revoked").values()} == {
        ("user:ada", project.id)
    }


def test_token_that_is_revoked_already_is_left_as_it_is() -> None:
    token = AccessTokenFactory.create()
    revoke(token, actor="user:bob", now=NOW)
    assert revoke_many(AccessToken.objects.all(), actor="user:ada", now=NOW + DAY) == 0
    assert AccessToken.objects.get().revoked_at == NOW
    assert len(events("token.revoked")) == 1


def test_last_batch_is_a_change_that_the_poller_can_see_however_long_it_took() -> None:
    for _ in range(3):
        AccessTokenFactory.create()
    before = timezone.now()
    revoke_many(AccessToken.objects.all(), actor="user:ada", now=NOW - HOUR)
    assert AccessToken.objects.filter(revoked_at=NOW - HOUR, updated_at__gte=before).count() == 3


def test_batch_that_fails_is_not_half_done() -> None:
    AccessTokenFactory.create()
    AccessTokenFactory.create()
    with pytest.raises(IntegrityError):
        revoke_many(AccessToken.objects.all(), actor="", now=NOW)
    assert not AccessToken.objects.exclude(revoked_at=None).exists()


def test_expired_and_idle_tokens_are_deactivated_with_the_reason() -> None:
    expired = [AccessTokenFactory.create(expires_at=NOW - HOUR) for _ in range(3)]
    idle = AccessTokenFactory.create(idle_ttl=HOUR, created_at=NOW - HOUR)
    alive = AccessTokenFactory.create(idle_ttl=HOUR, created_at=NOW - DAY, last_used_at=NOW)
    before = timezone.now()
    assert deactivate_expired(actor="cli:ada", now=NOW) == 4
    off = AccessToken.objects.filter(is_active=False)
    assert set(off) == {*expired, idle}
    assert {(token.revoked_at, token.updated_at >= before) for token in off} == {(None, True)}
    assert AccessToken.objects.get(pk=alive.pk).is_active
    reasons = {subject: event.details["reason"] for subject, event in events("token.deactivated").items()}
    assert reasons == {**{str(token.id): "expired" for token in expired}, str(idle.id): "idle"}
    assert {event.actor for event in events("token.deactivated").values()} == {"cli:ada"}


def test_token_is_deactivated_once() -> None:
    AccessTokenFactory.create(expires_at=NOW)
    AccessTokenFactory.create(expires_at=NOW, is_active=False, revoked_at=NOW)
    assert deactivate_expired(actor="cli:ada", now=NOW) == 1
    assert deactivate_expired(actor="cli:ada", now=NOW) == 0


def test_long_dead_tokens_are_deleted_and_the_others_stay() -> None:
    for _ in range(3):
        AccessTokenFactory.create(is_active=False, revoked_at=NOW - 30 * DAY)
    AccessTokenFactory.create(expires_at=NOW - 31 * DAY)
    AccessTokenFactory.create(idle_ttl=HOUR, created_at=BEFORE)
    staying = {
        AccessTokenFactory.create(),
        AccessTokenFactory.create(created_at=BEFORE),
        AccessTokenFactory.create(created_at=BEFORE, is_active=False),
        AccessTokenFactory.create(expires_at=NOW - 29 * DAY),
        AccessTokenFactory.create(is_active=False, revoked_at=NOW - 29 * DAY),
    }
    gone = {str(token.id) for token in AccessToken.objects.all() if token not in staying}
    assert delete_dead(dead_for=30 * DAY, actor="cli:ada", now=NOW) == len(gone) == 5
    assert set(AccessToken.objects.all()) == staying
    assert events("token.deleted").keys() == gone
    assert {event.actor for event in events("token.deleted").values()} == {"cli:ada"}


def test_deleted_token_keeps_its_name_and_its_project_in_the_audit_trail() -> None:
    token = AccessTokenFactory.create(name="laptop", expires_at=BEFORE)
    delete_dead(dead_for=DAY, actor="cli:ada", now=NOW)
    event = AuditEvent.objects.get(action="token.deleted")
    assert (event.subject_name, event.project_id) == ("laptop", token.project_id)


def test_ledger_of_a_deleted_token_stays() -> None:
    token = AccessTokenFactory.create(expires_at=BEFORE)
    record = UsageRecordFactory.create(token=token)
    DailySpendFactory.create(subject=token, day=BEFORE.date())
    before = UsageRecord.objects.values().get(pk=record.pk)
    delete_dead(dead_for=DAY, actor="cli:ada", now=NOW)
    assert not AccessToken.objects.exists()
    assert UsageRecord.objects.values().get() == before
    assert DailySpend.objects.get().subject_id == token.id


@pytest.mark.parametrize("dead_for", [timedelta(0), DELETED_AFTER - timedelta.resolution])
def test_token_that_died_just_now_is_kept_for_the_servers_to_learn_of_it(dead_for: timedelta) -> None:
    AccessTokenFactory.create(is_active=False, revoked_at=NOW - DELETED_AFTER + timedelta.resolution)
    dead = AccessTokenFactory.create(is_active=False, revoked_at=NOW - DELETED_AFTER)
    assert deletable(dead_for=dead_for, now=NOW).get() == dead


def test_token_is_not_deleted_when_its_audit_event_cannot_be_written() -> None:
    AccessTokenFactory.create(expires_at=BEFORE)
    with pytest.raises(IntegrityError):
        delete_dead(dead_for=DAY, actor="", now=NOW)
    assert AccessToken.objects.exists()
