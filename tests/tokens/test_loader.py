import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.utils import timezone
from pytest_django import Settings
from structlog.testing import capture_logs

from tests.factories import (
    UPSTREAM_KEY,
    AccessTokenFactory,
    ProjectFactory,
    UpstreamKeyFactory,
    issue_token,
)
from tokens.format import digest
from tokens.grant import Grant, RingKey
from tokens.limits.values import Kind, Limits, Subject
from tokens.loader import keep_alive, known_digests, load_grant
from tokens.models import AccessToken

pytestmark = pytest.mark.django_db


def load(token: AccessToken) -> Grant:
    grant = load_grant(token.digest)
    assert grant is not None
    return grant


def test_grant_says_all_that_a_token_allows() -> None:
    project = ProjectFactory.create(base_url="http://upstream.test/v1")
    expires_at = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    token, plain = issue_token(project=project, name="laptop", max_requests=5, expires_at=expires_at)
    assert load_grant(digest(plain)) == Grant(
        token_id=token.id,
        project_id=project.id,
        digest=digest(plain),
        token_active=True,
        token_revoked=False,
        project_active=True,
        expires_at=1893553445.0,
        base_url="http://upstream.test/v1",
        upstream_keys=(RingKey(project.upstream_keys.get().id, UPSTREAM_KEY),),
        subjects=(Subject(Kind.TOKEN, token.id, Limits(max_requests=5)),),
        token_name="laptop",
        project_name=project.name,
        created_at=token.created_at,
        expires_at_text=b"2030-01-02T03:04:05Z",
    )


def test_limits_of_the_token_and_of_its_project_are_in_the_grant() -> None:
    project = ProjectFactory.create(max_requests_per_minute=60, monthly_budget_microusd=9)
    token = AccessTokenFactory.create(project=project, max_concurrent_requests=2, daily_budget_microusd=5)
    assert load(token).subjects == (
        Subject(Kind.TOKEN, token.id, Limits(max_concurrent_requests=2, budgets=(None, 5, None, None))),
        Subject(Kind.PROJECT, project.id, Limits(max_requests_per_minute=60, budgets=(None, None, None, 9))),
    )


def test_projects_policy_is_in_the_grant() -> None:
    project = ProjectFactory.create(
        death_policy="finish", unpriced_policy="flat", flat_price_microusd=7, permits_renewal=True
    )
    grant = load(AccessTokenFactory.create(project=project))
    assert (grant.death_policy, grant.unpriced_policy) == ("finish", "flat")
    assert (grant.flat_price_microusd, grant.permits_renewal) == (7, True)


@pytest.mark.parametrize(("policy", "drain_seconds"), [("drain", 7), ("cancel", 0)])
def test_how_long_is_read_on_is_in_the_grant(policy: str, drain_seconds: int) -> None:
    project = ProjectFactory.create(disconnect_policy=policy, drain_seconds=7)
    assert load(AccessTokenFactory.create(project=project)).drain_seconds == drain_seconds


def test_digest_before_the_rotation_is_found_until_its_grace_ends() -> None:
    now = timezone.now()
    token = AccessTokenFactory.create(
        previous_digest="1" * 64, previous_digest_dies_at=now + timedelta(minutes=5)
    )
    old = load_grant("1" * 64)
    assert old is not None
    assert (old.token_id, old.digest) == (token.id, "1" * 64)
    assert old.digest_dies_at == (now + timedelta(minutes=5)).timestamp()
    assert load(token).digest_dies_at == math.inf
    AccessToken.objects.update(previous_digest_dies_at=now)
    assert load_grant("1" * 64) is None


def test_idle_expiry_counts_from_the_last_sign_of_life() -> None:
    token = AccessTokenFactory.create(idle_ttl=timedelta(hours=1))
    used_at = token.created_at + timedelta(minutes=30)
    assert load(token).idle_expires_at == (token.created_at + timedelta(hours=1)).timestamp()
    keep_alive([token.id], used_at)
    keep_alive([token.id], token.created_at)  # a look that comes late
    assert load(token).idle_expires_at == (used_at + timedelta(hours=1)).timestamp()


def test_unknown_digest_has_no_grant() -> None:
    AccessTokenFactory.create()
    assert load_grant("0" * 64) is None


@pytest.mark.parametrize(
    ("fields", "difference"),
    [
        ({"is_active": False}, {"token_active": False}),
        ({"is_active": False, "revoked_at": timezone.now()}, {"token_active": False, "token_revoked": True}),
        ({"expires_at": None}, {"expires_at": math.inf, "expires_at_text": b"never"}),
    ],
)
def test_what_the_token_does_not_allow_is_in_its_grant(
    fields: dict[str, Any], difference: dict[str, Any]
) -> None:
    token = AccessTokenFactory.create()
    before = load(token)
    AccessToken.objects.update(**fields)
    assert load(token) == replace(before, **difference)


def test_inactive_project_is_in_the_grant() -> None:
    token = AccessTokenFactory.create()
    token.project.set_active(False, timezone.now())
    token.project.save()
    assert not load(token).project_active


def test_what_the_project_says_of_its_upstream_is_in_the_grant() -> None:
    plain = load(AccessTokenFactory.create())
    assert (plain.base_url, plain.provider, plain.upstream_headers) == ("", "", ())
    assert not plain.permits_leading_past_us
    project = ProjectFactory.create(
        provider="azure",
        upstream_organization="org-1",
        upstream_project="proj_2",
        permits_leading_past_us=True,
    )
    grant = load(AccessTokenFactory.create(project=project))
    assert (grant.provider, grant.permits_leading_past_us) == ("azure", True)
    assert grant.upstream_headers == ((b"openai-organization", b"org-1"), (b"openai-project", b"proj_2"))


def test_all_active_upstream_keys_are_in_the_grant_with_their_weights() -> None:
    project = ProjectFactory.create(upstream_key__is_active=False)
    UpstreamKeyFactory.create(project=project, plain="sk-upstream-second")
    UpstreamKeyFactory.create(project=project, plain="sk-upstream-third", weight=3)
    UpstreamKeyFactory.create(plain="sk-upstream-of-another-project")
    keys = load(AccessTokenFactory.create(project=project)).upstream_keys
    assert [(key.value, key.weight) for key in keys] == [("sk-upstream-second", 1), ("sk-upstream-third", 3)]


def test_project_without_an_active_upstream_key_has_none() -> None:
    project = ProjectFactory.create(upstream_key__is_active=False)
    assert load(AccessTokenFactory.create(project=project)).upstream_keys == ()


def test_upstream_key_that_cannot_be_decrypted_is_reported_and_is_none(settings: Settings) -> None:
    token = AccessTokenFactory.create()
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    with capture_logs() as logs:
        grant = load(token)
    assert grant.upstream_keys == ()
    assert logs == [
        {
            "event": "upstream key cannot be decrypted",
            "log_level": "error",
            "upstream_key_id": str(token.project.upstream_keys.get().id),
        }
    ]


def test_printed_grant_does_not_show_the_upstream_key() -> None:
    grant = load(AccessTokenFactory.create())
    assert grant.upstream_keys[0].value == UPSTREAM_KEY
    assert UPSTREAM_KEY not in repr(grant)


def test_digests_that_there_are_are_told_in_one_query(django_assert_num_queries: Any) -> None:
    now = timezone.now()
    token = AccessTokenFactory.create(
        previous_digest="f" * 64, previous_digest_dies_at=now + timedelta(hours=1)
    )
    other = AccessTokenFactory.create()
    with django_assert_num_queries(1):
        found = known_digests([token.digest, "f" * 64, "0" * 64, *(f"{number:064}" for number in range(900))])

    assert found == {token.digest, "f" * 64}
    assert other.digest not in found
