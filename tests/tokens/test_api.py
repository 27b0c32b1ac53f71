from datetime import timedelta

import pytest
from django.utils import timezone

from audit.models import AuditEvent
from projects.access import OPERATOR, VIEWER
from tests.factories import AccessTokenFactory, ProjectFactory, issue_token
from tests.management import Manager, refusal
from tokens.format import digest
from tokens.models import AccessToken

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> Manager:
    return Manager.of_superuser()


def last_event() -> AuditEvent:
    return AuditEvent.objects.latest("id")


def test_a_token_is_issued_and_its_plain_text_is_told_once(ada: Manager) -> None:
    project = ProjectFactory(name="alpha")
    body = {"project_id": str(project.id), "name": "ci", "ttl": "2h", "daily_budget_usd": "1.50"}
    issued = ada.do("POST", "/tokens", body)

    token = AccessToken.objects.get(pk=issued["id"])
    assert token.digest == digest(issued["token"])
    assert (token.name, token.ttl, token.daily_budget_microusd) == ("ci", timedelta(hours=2), 1_500_000)
    shown = ada.ask(f"/tokens/{token.id}")
    assert "token" not in shown
    assert (shown["state"], shown["ttl"], shown["daily_budget_usd"]) == ("active", "2h", "1.50")
    assert last_event().action == "token.issued"
    assert last_event().actor.startswith("api:ada/")
    assert last_event().address == "127.0.0.1"


def test_a_batch_is_issued_all_or_none(ada: Manager) -> None:
    project = ProjectFactory()
    body = {"project_id": str(project.id), "name": "ci", "count": 3}
    issued = ada.do("POST", "/tokens/batch", body)["data"]
    assert [token["name"] for token in issued] == ["ci-1", "ci-2", "ci-3"]
    assert len({token["token"] for token in issued}) == 3

    refused = ada.call("POST", "/tokens/batch", {**body, "ttl": "never"})
    assert refusal(refused) == (422, "invalid_value", "ttl")
    assert AccessToken.objects.count() == 3


def test_a_project_that_is_off_gets_no_tokens(ada: Manager) -> None:
    project = ProjectFactory(is_active=False)
    refused = ada.call("POST", "/tokens", {"project_id": str(project.id)})
    assert refusal(refused) == (403, "project_inactive", None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ttl", "soon"),
        ("ttl", 3600),
        ("max_requests", 0),
        ("max_requests", "7"),
        ("daily_budget_usd", "-1"),
        ("daily_budget_usd", 5),
        ("name", "a" * 101),
        ("name", "a\x00b"),
        ("rules", {"modls": ["gpt-4o"]}),
        ("rules", {"models": ["gpt-4o\x00"]}),
        ("unknown", "x"),
    ],
)
def test_what_is_not_understood_is_refused_and_named(ada: Manager, field: str, value: object) -> None:
    body = {"project_id": str(ProjectFactory().id), field: value}
    assert refusal(ada.call("POST", "/tokens", body)) == (422, "invalid_value", field)
    assert not AccessToken.objects.exists()


def test_tokens_are_filtered(ada: Manager) -> None:
    token = AccessTokenFactory(name="nightly build")
    AccessTokenFactory(name="other", ttl=timedelta(days=9))

    soon = (timezone.now() + timedelta(days=1)).isoformat()
    for query in (
        {"project_id": token.project_id},
        {"name": "nightly*"},
        {"last_four": token.last_four},
        {"expires_before": soon},
    ):
        assert [each["id"] for each in ada.ask("/tokens", **query)["data"]] == [str(token.id)], query
    assert ada.ask("/tokens", is_revoked=True)["data"] == []


def test_a_token_is_changed_and_what_was_before_is_in_the_trail(ada: Manager) -> None:
    token = AccessTokenFactory(name="old", max_requests=5)
    changed = ada.do("PATCH", f"/tokens/{token.id}", {"name": "new", "max_requests": None})
    assert (changed["name"], changed["max_requests"]) == ("new", None)
    assert last_event().details == {
        "name": {"before": "old", "after": "new"},
        "max_requests": {"before": 5, "after": None},
    }
    assert ada.do("PATCH", f"/tokens/{token.id}", {})["name"] == "new"


def test_a_revoked_token_cannot_be_changed(ada: Manager) -> None:
    token = AccessTokenFactory()
    ada.do("DELETE", f"/tokens/{token.id}")
    refused = ada.call("PATCH", f"/tokens/{token.id}", {"name": "new"})
    assert refusal(refused) == (409, "token_not_alive", None)


def test_a_token_is_revoked_once_and_reactivated(ada: Manager) -> None:
    token = AccessTokenFactory()
    assert ada.do("DELETE", f"/tokens/{token.id}")["state"] == "revoked"
    assert ada.do("DELETE", f"/tokens/{token.id}")["state"] == "revoked"
    assert AuditEvent.objects.filter(action="token.revoked").count() == 1
    assert ada.do("POST", f"/tokens/{token.id}/reactivate")["state"] == "active"


def test_a_token_is_rotated_with_grace(ada: Manager) -> None:
    token, before = issue_token()
    rotated = ada.do("POST", f"/tokens/{token.id}/rotate", {"grace": "10m"})
    token.refresh_from_db()
    assert token.digest == digest(rotated["token"])
    assert token.previous_digest == digest(before)
    assert token.previous_digest_dies_at - timezone.now() > timedelta(minutes=9)

    assert ada.do("POST", f"/tokens/{token.id}/rotate", {"grace": "0s"})["previous_token_dies_at"] is None


def test_a_token_is_renewed_only_where_its_project_permits_it(ada: Manager) -> None:
    token = AccessTokenFactory(created_at=timezone.now() - timedelta(days=1))
    refused = ada.call("POST", f"/tokens/{token.id}/renew")
    assert refusal(refused) == (403, "renewal_not_permitted", None)
    token.project.permits_renewal = True
    token.project.save()
    assert ada.do("POST", f"/tokens/{token.id}/renew")["id"] == str(token.id)


def test_an_expired_token_is_extended(ada: Manager) -> None:
    token = AccessTokenFactory(expires_at=timezone.now() - timedelta(days=1))
    assert ada.do("POST", f"/tokens/{token.id}/extend", {"ttl": "2h"})["state"] == "active"
    refused = ada.call("POST", f"/tokens/{token.id}/extend", {"ttl": "never"})
    assert refusal(refused) == (422, "invalid_value", "ttl")


def test_tokens_of_a_project_are_revoked_by_filter(ada: Manager) -> None:
    project = ProjectFactory()
    old = AccessTokenFactory(project=project, name="ci-1")
    kept = AccessTokenFactory(project=project, name="web")
    elsewhere = AccessTokenFactory(name="ci-2")
    path = f"/projects/{project.id}/tokens/revoke"

    assert ada.do("POST", path, {"name": "ci-*", "dry_run": True}) == {"revoked": 1, "dry_run": True}
    assert ada.do("POST", path, {"name": "ci-*"}) == {"revoked": 1, "dry_run": False}
    for token, state in ((old, "revoked"), (kept, "active"), (elsewhere, "active")):
        assert ada.ask(f"/tokens/{token.id}")["state"] == state
    assert ada.do("POST", path, {})["revoked"] == 1


def test_an_operator_has_the_tokens_of_their_projects_and_no_others() -> None:
    token, foreign = AccessTokenFactory(), AccessTokenFactory()
    grace = Manager.with_role(OPERATOR, token.project)

    assert [each["id"] for each in grace.ask("/tokens")["data"]] == [str(token.id)]
    assert grace.do("DELETE", f"/tokens/{token.id}")["state"] == "revoked"
    for call in (
        grace.call("GET", f"/tokens/{foreign.id}"),
        grace.call("DELETE", f"/tokens/{foreign.id}"),
        grace.call("POST", "/tokens", {"project_id": str(foreign.project_id)}),
        grace.call("POST", f"/projects/{foreign.project_id}/tokens/revoke", {}),
    ):
        assert refusal(call) == (404, "not_found", None)
    foreign.refresh_from_db()
    assert foreign.revoked_at is None


def test_a_viewer_sees_tokens_and_changes_none() -> None:
    token = AccessTokenFactory()
    linus = Manager.with_role(VIEWER, token.project)
    assert linus.ask(f"/tokens/{token.id}")["state"] == "active"
    assert refusal(linus.call("DELETE", f"/tokens/{token.id}")) == (403, "not_permitted", None)
