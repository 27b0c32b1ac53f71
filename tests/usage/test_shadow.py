"""What rules in shadow mode would have refused can be counted and found."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.commands import run, run_json
from tests.factories import AccessTokenFactory, UsageRecordFactory, UserFactory

pytestmark = pytest.mark.django_db


def test_shadow_refusals_are_counted_by_token_and_code() -> None:
    token, other = AccessTokenFactory.create(name="laptop"), AccessTokenFactory.create()
    for codes in ("model_not_allowed", "model_not_allowed,param_not_allowed:n", ""):
        UsageRecordFactory(token=token, shadow_refusals=codes)
    UsageRecordFactory(token=other, shadow_refusals="ip_not_allowed")
    UsageRecordFactory(
        token=token, shadow_refusals="ip_not_allowed", started_at=timezone.now() - timedelta(days=8)
    )
    facts = run_json("list_shadow_refusals", "--project", token.project.name)
    assert facts == [
        {
            "code": code,
            "requests": requests,
            "project": token.project.name,
            "token_id": str(token.id),
            "token": "laptop",
        }
        for code, requests in (("model_not_allowed", 2), ("param_not_allowed:n", 1))
    ]
    heading, *lines = run("list_shadow_refusals", "--since", "30d").splitlines()
    assert heading.split() == ["CODE", "REQUESTS", "PROJECT", "TOKEN", "NAME"]
    assert len(lines) == 4


def test_the_ledgers_list_can_be_narrowed_to_them(client: Client) -> None:
    client.force_login(UserFactory.create(superuser=True))
    UsageRecordFactory(model="wanted-model", shadow_refusals="model_not_allowed")
    UsageRecordFactory(model="other-model")
    page = client.get(reverse("admin:usage_usagerecord_changelist"), {"shadow": "refused"}).content.decode()
    assert "wanted-model" in page
    assert "other-model" not in page
