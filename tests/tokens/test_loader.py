import math
from dataclasses import replace
from datetime import UTC, datetime
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
from tokens.grant import Grant
from tokens.loader import load_grant
from tokens.models import AccessToken

pytestmark = pytest.mark.django_db


def load(token: AccessToken) -> Grant:
    grant = load_grant(token.digest)
    assert grant is not None
    return grant


def test_grant_says_all_that_a_token_allows() -> None:
    project = ProjectFactory.create(base_url="http://upstream.test/v1")
    expires_at = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    token, plain = issue_token(project=project, max_requests=5, request_count=2, expires_at=expires_at)
    assert load_grant(digest(plain)) == Grant(
        token_id=token.id,
        project_id=project.id,
        token_active=True,
        token_revoked=False,
        project_active=True,
        expires_at=1893553445.0,
        max_requests=5,
        request_count=2,
        base_url="http://upstream.test/v1",
        upstream_key=UPSTREAM_KEY,
    )


def test_unknown_digest_has_no_grant() -> None:
    AccessTokenFactory.create()
    assert load_grant("0" * 64) is None


@pytest.mark.parametrize(
    ("fields", "difference"),
    [
        ({"is_active": False}, {"token_active": False}),
        ({"is_active": False, "revoked_at": timezone.now()}, {"token_active": False, "token_revoked": True}),
        ({"expires_at": None}, {"expires_at": math.inf}),
        ({"max_requests": 7}, {"max_requests": 7}),
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


def test_project_without_an_address_uses_the_default(settings: Settings) -> None:
    settings.UPSTREAM_BASE_URL = "http://default.test/v1/"
    assert load(AccessTokenFactory.create()).base_url == "http://default.test/v1"


def test_first_active_upstream_key_is_used() -> None:
    project = ProjectFactory.create(upstream_key__is_active=False)
    UpstreamKeyFactory.create(project=project, plain="sk-upstream-second")
    UpstreamKeyFactory.create(project=project, plain="sk-upstream-third")
    UpstreamKeyFactory.create(plain="sk-upstream-of-another-project")
    assert load(AccessTokenFactory.create(project=project)).upstream_key == "sk-upstream-second"


def test_project_without_an_active_upstream_key_has_none() -> None:
    project = ProjectFactory.create(upstream_key__is_active=False)
    assert load(AccessTokenFactory.create(project=project)).upstream_key is None


def test_upstream_key_that_cannot_be_decrypted_is_reported_and_is_none(settings: Settings) -> None:
    token = AccessTokenFactory.create()
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    with capture_logs() as logs:
        grant = load(token)
    assert grant.upstream_key is None
    assert logs == [
        {
            "event": "upstream key cannot be decrypted",
            "log_level": "error",
            "upstream_key_id": str(token.project.upstream_keys.get().id),
        }
    ]


def test_printed_grant_does_not_show_the_upstream_key() -> None:
    grant = load(AccessTokenFactory.create())
    assert grant.upstream_key == UPSTREAM_KEY
    assert UPSTREAM_KEY not in repr(grant)
