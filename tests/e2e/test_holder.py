"""What a token says of itself, and its renewal by its holder."""

import re
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from audit.models import AuditEvent
from llm_proxy_site.processes import MANAGE
from tests.factories import DailySpendFactory, ProjectFactory, issue_token
from tests.live import LiveProxy, eventually
from tokens.models import AccessToken
from usage.models import DailySpend

ROOT = MANAGE.parent


def ask(live: LiveProxy, plain: str, method: str = "GET", path: str = "/token") -> httpx.Response:
    return httpx.request(method, live.url + path, headers={"authorization": f"Bearer {plain}"})


def test_a_token_says_what_it_is_good_for(live: LiveProxy) -> None:
    project = ProjectFactory.create(max_concurrent_requests=7)
    token, plain = issue_token(
        project=project,
        name="laptop",
        max_requests=10,
        daily_budget_microusd=1_000_000,
        idle_ttl=timedelta(hours=2),
    )
    DailySpendFactory.create(subject=token, requests=4, cost_microusd=250_000)
    answer = ask(live, plain)

    facts = answer.json()
    resets_at = facts["budgets"][0].pop("resets_at")
    assert answer.headers["cache-control"] == "no-store"
    assert (facts["id"], facts["name"], facts["project"]) == (str(token.id), "laptop", project.name)
    assert parse_datetime(facts["expires_at"]) == token.expires_at
    assert 3500 < facts["expires_in_seconds"] <= 3600
    assert parse_datetime(facts["idle_expires_at"]) == token.created_at + timedelta(hours=2)
    assert facts["is_renewable"] is False
    assert facts["limits"] == [
        {"name": "requests", "of": "token", "limit": 10, "used": 4, "left": 6},
        {"name": "concurrent_requests", "of": "project", "limit": 7, "used": 0, "left": 7},
    ]
    assert facts["budgets"] == [
        {
            "window": "daily",
            "of": "token",
            "budget_usd": "1.00",
            "spent_usd": "0.25",
            "reserved_usd": "0.00",
            "left_usd": "0.75",
        }
    ]
    assert parse_datetime(resets_at) > timezone.now()
    assert facts["models"] is None
    assert "POST /chat/completions" in facts["endpoints"]
    assert plain not in answer.text
    assert token.digest not in answer.text


def test_asking_is_no_use_of_the_token(live: LiveProxy) -> None:
    token, plain = issue_token(max_requests=1)
    for _ in range(3):
        assert ask(live, plain).json()["limits"][0]["left"] == 1
    assert not DailySpend.objects.filter(subject_id=token.id).exists()


def test_every_answer_says_when_the_token_expires(live: LiveProxy) -> None:
    token, plain = issue_token(max_requests=5, total_budget_microusd=1_000_000)
    headers = ask(live, plain, path="/v1/models").headers
    told = parse_datetime(headers["x-llm-proxy-token-expires-at"])
    assert told == token.expires_at.replace(microsecond=0)
    assert headers["x-llm-proxy-remaining-requests"] == "4"
    assert headers["x-llm-proxy-remaining-budget-usd"] == "1.00"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", "/token", 405, "method_not_allowed"),
        ("GET", "/token/renew", 405, "method_not_allowed"),
        ("GET", "/token/other", 404, "endpoint_not_found"),
        ("GET", "/token/", 404, "endpoint_not_found"),
        ("POST", "/token/renew", 403, "renewal_not_permitted"),
    ],
)
def test_anything_else_is_refused(live: LiveProxy, method: str, path: str, status: int, code: str) -> None:
    _, plain = issue_token()
    answer = ask(live, plain, method, path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_without_a_living_token_nothing_is_said(live: LiveProxy) -> None:
    _, expired = issue_token(expires_at=timezone.now())
    assert ask(live, expired).json()["error"]["code"] == "token_expired"
    assert ask(live, "sk-wt-x").json()["error"]["code"] == "invalid_api_key"
    assert ask(live, expired, "POST", "/token/renew").status_code == 401


def test_head_has_no_body(live: LiveProxy) -> None:
    _, plain = issue_token()
    answer = ask(live, plain, "HEAD")
    assert (answer.status_code, answer.content) == (200, b"")


def test_a_holder_renews_its_token_up_to_the_projects_longest_life(live: LiveProxy) -> None:
    project = ProjectFactory.create(permits_renewal=True, longest_ttl=timedelta(hours=3))
    token, plain = issue_token(project=project, ttl=timedelta(hours=1))
    AccessToken.objects.filter(pk=token.pk).update(
        created_at=timezone.now() - timedelta(minutes=30), expires_at=timezone.now() + timedelta(minutes=30)
    )
    renewed = ask(live, plain, "POST", "/token/renew").json()
    assert abs(_expiry(renewed) - (timezone.now() + timedelta(hours=1))) < timedelta(seconds=10)

    issued_at = timezone.now() - timedelta(hours=2, minutes=30)
    AccessToken.objects.filter(pk=token.pk).update(
        created_at=issued_at, expires_at=timezone.now() + timedelta(minutes=10)
    )
    bounded = ask(live, plain, "POST", "/token/renew").json()
    token.refresh_from_db()
    assert _expiry(bounded) == token.expires_at == issued_at + timedelta(hours=3)


def test_at_the_longest_life_there_is_no_renewal(live: LiveProxy) -> None:
    project = ProjectFactory.create(permits_renewal=True, longest_ttl=timedelta(hours=1))
    _token, plain = issue_token(project=project, ttl=timedelta(hours=1))
    answer = ask(live, plain, "POST", "/token/renew")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "renewal_limit_reached")
    assert not AuditEvent.objects.filter(action="token.renewed").exists()


def test_a_renewal_is_audited_with_the_holder_as_actor(live: LiveProxy) -> None:
    project = ProjectFactory.create(permits_renewal=True)
    token, plain = issue_token(project=project, ttl=timedelta(hours=1))
    AccessToken.objects.filter(pk=token.pk).update(expires_at=timezone.now() + timedelta(minutes=5))
    for _ in range(3):  # the second and the third would give next to nothing, and do nothing
        assert ask(live, plain, "POST", "/token/renew").status_code == 200
    event = AuditEvent.objects.get(action="token.renewed")
    assert (event.actor, event.subject_id) == (f"token:{token.id}", str(token.id))
    eventually(lambda: ask(live, plain, path="/v1/models").status_code == 200)


def _expiry(facts: dict[str, str]) -> datetime:
    instant = parse_datetime(facts["expires_at"])
    assert instant is not None
    return instant


def test_the_documented_recipe_keeps_a_token_alive(live: LiveProxy) -> None:
    project = ProjectFactory.create(permits_renewal=True)
    token, plain = issue_token(project=project, ttl=timedelta(hours=1))
    AccessToken.objects.filter(pk=token.pk).update(expires_at=timezone.now() + timedelta(minutes=5))
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "api.md").read_text(), re.DOTALL)
    (recipe,) = [block for block in blocks if "living_token" in block]
    recipe = recipe.replace("http://127.0.0.1:8000", live.url).replace("sk-wt-...", plain)
    names: dict[str, Any] = {}
    exec(recipe, names)  # noqa: S102 (our own documentation)
    with names["client"] as client:
        for _ in range(3):
            assert client.models.list().data

    token.refresh_from_db()
    assert token.expires_at > timezone.now() + timedelta(minutes=55)
    assert AuditEvent.objects.filter(action="token.renewed").count() == 1
