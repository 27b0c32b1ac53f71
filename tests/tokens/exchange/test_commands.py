from datetime import timedelta

import pytest
from django.core.management.base import CommandError

from audit.models import AuditEvent
from tests.commands import run, run_json
from tests.factories import ProjectFactory, TrustRuleFactory
from tokens.exchange.models import TrustRule

pytestmark = pytest.mark.django_db
GITLAB = ["--issuer", "https://gitlab.com", "--audience", "proxy", "--claim", "project_path=acme/web"]


def test_a_rule_is_created_listed_changed_and_deleted() -> None:
    ProjectFactory.create(name="web")
    options = ["--claim", "ref=main", "--claim", "ref=v*", "--ttl", "15m", "--daily-budget", "2"]
    facts = run_json("create_trust_rule", "ci", "--project", "web", *GITLAB, *options)
    assert facts["claims"] == {"project_path": ["acme/web"], "ref": ["main", "v*"]}
    assert (facts["ttl"], facts["daily_budget_usd"], facts["last_used_at"]) == ("15m", "2.00", None)
    assert run_json("list_trust_rules") == [facts]

    changed = run_json("update_trust_rule", "ci", "--ttl", "5m", "--active", "no", "--daily-budget", "none")
    assert (changed["ttl"], changed["is_active"], changed["daily_budget_usd"]) == ("5m", False, None)
    assert run("update_trust_rule", facts["id"], "--ttl", "5m") == "Trust rule ci is as it already was.\n"

    assert "Trust rule ci is deleted." in run("delete_trust_rule", "ci")
    assert run_json("list_trust_rules") == []
    actions = AuditEvent.objects.filter(actor__startswith="cli:").values_list("action", flat=True)
    assert sorted(actions) == ["trust_rule.changed", "trust_rule.created", "trust_rule.deleted"]


def test_what_is_not_named_has_its_default_or_stays() -> None:
    ProjectFactory.create(name="web")
    run("create_trust_rule", "ci", "--project", "web", *GITLAB)
    rule = TrustRule.objects.get()
    assert (rule.ttl, rule.is_active, rule.rules) == (timedelta(hours=1), True, {})
    run("update_trust_rule", "ci", "--name", "jobs")
    rule.refresh_from_db()
    assert (rule.name, rule.claims, rule.ttl) == (
        "jobs",
        {"project_path": ["acme/web"]},
        timedelta(hours=1),
    )


def test_rules_are_listed_for_people() -> None:
    rule = TrustRuleFactory.create(name="ci", max_requests=3)
    TrustRuleFactory.create(name="other")
    headings, row = run("list_trust_rules", "--project", rule.project.name).splitlines()
    assert headings.split()[:4] == ["NAME", "PROJECT", "STATE", "ISSUER"]
    assert "repository=acme/web" in row
    assert "3 requests" in row


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["create_trust_rule", "ci", "--project", "none", *GITLAB], "There is no project 'none'"),
        (["create_trust_rule", "ci", "--project", "web", *GITLAB, "--claim", "ref"], "is not a claim"),
        (
            ["create_trust_rule", "ci", "--project", "web", *GITLAB, "--ttl", "never"],
            "never",
        ),
        (["create_trust_rule", "ci", "--project", "web", *GITLAB[:-1], "sub=*"], "anybody"),
        (["update_trust_rule", "ci", "--ttl", "5m"], "There is no trust rule 'ci'"),
        (["update_trust_rule", "ci"], "Say what to change"),
        (["delete_trust_rule", "ci"], "There is no trust rule 'ci'"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: list[str], message: str) -> None:
    ProjectFactory.create(name="web")
    with pytest.raises(CommandError, match=message):
        run(*arguments)
    assert not TrustRule.objects.exists()
