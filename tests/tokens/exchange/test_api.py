from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission

from audit.models import AuditEvent
from projects.models import Membership
from tests.factories import ProjectFactory, TrustRuleFactory, UserFactory
from tests.management import Manager, key_of, refusal
from tokens.exchange import api
from tokens.exchange.models import TrustRule

pytestmark = pytest.mark.django_db
GITLAB = {"issuer": "https://gitlab.com", "audience": "proxy", "claims": {"project_path": ["acme/web"]}}


@pytest.fixture
def ada() -> Manager:
    return Manager.of_superuser()


@pytest.fixture
def linus() -> Manager:
    """May do everything to trust rules, in the one project `web`."""
    user = UserFactory()
    user.user_permissions.set(Permission.objects.filter(codename__endswith="_trustrule"))
    Membership.objects.create(user=user, project=ProjectFactory(name="web"))
    return Manager(key_of(user))


def actions() -> list[str]:
    events = AuditEvent.objects.filter(actor__startswith="api:").order_by("sequence")
    return list(events.values_list("action", flat=True))


def test_a_rule_is_made_shown_changed_and_deleted(ada: Manager) -> None:
    project = ProjectFactory(name="web")
    limits = {"ttl": "15m", "daily_budget_usd": "2", "rules": {"models": ["gpt-4o*"]}}
    made = ada.do("POST", "/trust-rules", {"name": "ci", "project_id": str(project.id), **GITLAB, **limits})
    rule = TrustRule.objects.get()
    assert (rule.project, rule.claims, rule.daily_budget_microusd) == (project, GITLAB["claims"], 2_000_000)
    path = f"/trust-rules/{rule.id}"
    assert ada.ask(path) == made
    assert ada.ask("/trust-rules")["data"] == [made]

    edits = {"ttl": "5m", "is_active": False, "daily_budget_usd": None, "rules": None}
    assert ada.do("PATCH", path, edits) == {**made, **edits}
    assert ada.do("PATCH", path, edits) == {**made, **edits}
    assert ada.do("DELETE", path)["name"] == "ci"
    assert refusal(ada.call("GET", path)) == (404, "not_found", None)
    assert actions() == ["trust_rule.created", "trust_rule.changed", "trust_rule.deleted"]


def test_a_rule_is_made_once_for_an_idempotency_key(ada: Manager) -> None:
    body = {"name": "ci", "project_id": str(ProjectFactory().id), **GITLAB}
    first = ada.do("POST", "/trust-rules", body, **{"Idempotency-Key": "one"})
    again = ada.call("POST", "/trust-rules", body, **{"Idempotency-Key": "one"})
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert [each["id"] for each in ada.ask("/trust-rules")["data"]] == [first["id"]]


@pytest.mark.parametrize(
    ("edits", "param"),
    [
        ({"name": "taken"}, "name"),
        ({"issuer": "http://gitlab.com"}, "issuer"),
        ({"audience": ""}, "audience"),
        ({"claims": {}}, "claims"),
        ({"claims": {"sub": ["*"]}}, "claims"),
        ({"claims": {"sub": "acme"}}, "claims.sub"),
        ({"ttl": "never"}, "ttl"),
        ({"ttl": "2d"}, "ttl"),
        ({"ttl": None}, "ttl"),
        ({"rules": {"model": ["a"]}}, "rules"),
        ({"max_requests": 0}, "max_requests"),
        ({"last_used_at": None}, "last_used_at"),
    ],
)
def test_a_rule_is_neither_made_nor_changed_to_what_it_cannot_be(
    ada: Manager, edits: dict[str, object], param: str
) -> None:
    project = ProjectFactory(longest_ttl=timedelta(days=1))
    TrustRuleFactory(name="taken")
    rule = TrustRuleFactory(name="ci", project=project)
    assert refusal(ada.call("PATCH", f"/trust-rules/{rule.id}", edits)) == (422, "invalid_value", param)
    new = {"name": "new", "project_id": str(project.id), **GITLAB, **edits}
    assert refusal(ada.call("POST", "/trust-rules", new)) == (422, "invalid_value", param)
    assert actions() == []


def test_rules_are_filtered(ada: Manager) -> None:
    rule = TrustRuleFactory(name="WÉb ci", issuer="https://gitlab.com", is_active=False)
    TrustRuleFactory(name="other")
    for query in (
        {"project_id": rule.project_id},
        {"name": "b CI"},
        {"name": "WÉ"},
        {"issuer": "https://gitlab.com"},
        {"is_active": False},
    ):
        assert [each["id"] for each in ada.ask("/trust-rules", **query)["data"]] == [str(rule.id)], query


def test_who_sees_one_project_has_to_do_with_its_rules_only(linus: Manager) -> None:
    web, foreign = Membership.objects.get().project, TrustRuleFactory(name="foreign")
    own = linus.do("POST", "/trust-rules", {"name": "ci", "project_id": str(web.id), **GITLAB})
    assert [each["id"] for each in linus.ask("/trust-rules")["data"]] == [own["id"]]

    body = {"name": "new", "project_id": str(foreign.project_id), **GITLAB}
    for method, path, sent in (
        ("POST", "/trust-rules", body),
        ("PATCH", f"/trust-rules/{own['id']}", {"project_id": str(foreign.project_id)}),
        ("PATCH", f"/trust-rules/{foreign.id}", {"name": "mine"}),
        ("DELETE", f"/trust-rules/{foreign.id}", None),
    ):
        assert refusal(linus.call(method, path, sent)) == (404, "not_found", None)
    assert actions() == ["trust_rule.created"]


def test_a_rule_moves_to_another_project(ada: Manager) -> None:
    rule, project = TrustRuleFactory(), ProjectFactory(name="api")
    moved = ada.do("PATCH", f"/trust-rules/{rule.id}", {"project_id": str(project.id)})
    assert (moved["project_id"], moved["project"]) == (str(project.id), "api")


def test_a_rule_that_another_deletes_meanwhile_is_not_found(
    ada: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = TrustRuleFactory()

    def find(*args: object) -> TrustRule:
        TrustRule.objects.filter(pk=rule.pk).delete()
        return rule

    monkeypatch.setattr(api, "_rule", find)
    for method in ("PATCH", "DELETE"):
        refused = ada.call(method, f"/trust-rules/{rule.id}", {"name": "new"})
        assert refusal(refused) == (404, "not_found", None)
    assert actions() == []
