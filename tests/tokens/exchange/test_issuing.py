from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from audit.models import AuditEvent
from llm_proxy_site.schedule import tasks
from tests.commands import run
from tests.factories import ProjectFactory, TrustRuleFactory
from tests.issuers import AUDIENCE
from tokens.exchange.assertion import Assertion
from tokens.exchange.errors import AmbiguousError, RefusedError, ReplayedError
from tokens.exchange.issuing import issue_for, trusted_issuers
from tokens.exchange.models import SpentAssertion
from tokens.format import digest
from tokens.lifecycle import ProjectInactiveError
from tokens.models import AccessToken

ISSUER = "https://issuer.example.com"


def assertion(number: str = "1", **fields: Any) -> Assertion:
    values = {
        "issuer": ISSUER,
        "subject": "repo:acme/web:ref:refs/heads/main",
        "audiences": frozenset([AUDIENCE]),
        "claims": {"repository": "acme/web"},
        "digest": number * 64,
        "expires_at": datetime.now(UTC) + timedelta(minutes=5),
    }
    return Assertion(**(values | fields))


def issue(shown: Assertion, project: str = "") -> AccessToken:
    plain, _ = issue_for(shown, project=project, now=timezone.now())
    return AccessToken.objects.get(digest=digest(plain))


@pytest.mark.django_db
def test_a_token_is_issued_as_the_rule_says() -> None:
    models = {"models": ["gpt-4o*"]}
    rule = TrustRuleFactory.create(
        ttl=timedelta(minutes=10), max_requests=7, daily_budget_microusd=5_000_000, rules=models
    )
    token = issue(assertion())
    assert (token.project, token.name) == (rule.project, "repo:acme/web:ref:refs/heads/main")
    assert (token.max_requests, token.daily_budget_microusd, token.rules) == (7, 5_000_000, models)
    assert token.ttl == timedelta(minutes=10)
    rule.refresh_from_db()
    assert rule.last_used_at is not None


@pytest.mark.django_db
def test_the_audit_trail_says_who_has_received_what_and_why() -> None:
    rule = TrustRuleFactory.create()
    token = issue(assertion())
    actor = f"oidc:{ISSUER}#repo:acme/web:ref:refs/heads/main"
    issued, exchanged = AuditEvent.objects.filter(subject_id=str(token.id)).order_by("id")
    assert (issued.action, issued.actor) == ("token.issued", actor)
    assert (exchanged.action, exchanged.actor) == ("token.exchanged", actor)
    assert exchanged.details["trust_rule_id"] == str(rule.id)
    assert exchanged.details["claims"] == {"repository": "acme/web"}


@pytest.mark.django_db
def test_a_lifetime_is_shortened_to_what_the_project_permits_by_now() -> None:
    project = ProjectFactory.create(longest_ttl=timedelta(minutes=20))
    TrustRuleFactory.create(project=project, ttl=timedelta(hours=2))
    assert issue(assertion()).ttl == timedelta(minutes=20)


@pytest.mark.django_db
def test_a_project_that_is_switched_off_gets_no_token_and_its_assertion_is_not_spent() -> None:
    project = ProjectFactory.create(is_active=False)
    TrustRuleFactory.create(project=project)
    with pytest.raises(ProjectInactiveError):
        issue(assertion())
    assert not SpentAssertion.objects.exists()
    assert not AccessToken.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"issuer": "https://other.example.com"}, "audience"),
        ({"issuer": ISSUER + "/"}, "audience"),
        ({"audiences": frozenset(["https://other.example.com"])}, "audience"),
        ({"audiences": frozenset()}, "audience"),
        ({"claims": {"repository": "acme/web2"}}, "claims"),
        ({"claims": {}}, "claims"),
    ],
)
def test_what_no_rule_accepts_is_refused(fields: dict[str, Any], message: str) -> None:
    TrustRuleFactory.create()
    with pytest.raises(RefusedError, match=message):
        issue(assertion(**fields))
    assert not SpentAssertion.objects.exists()


@pytest.mark.django_db
def test_a_rule_that_is_switched_off_accepts_nothing() -> None:
    TrustRuleFactory.create(is_active=False)
    assert trusted_issuers() == frozenset()
    with pytest.raises(RefusedError):
        issue(assertion())


@pytest.mark.django_db
def test_an_assertion_is_exchanged_once() -> None:
    TrustRuleFactory.create()
    issue(assertion("1"))
    with pytest.raises(ReplayedError):
        issue(assertion("1"))
    issue(assertion("2"))
    assert AccessToken.objects.count() == 2


@pytest.mark.django_db
def test_of_several_projects_the_bearer_names_one() -> None:
    web, api = ProjectFactory.create(name="web"), ProjectFactory.create(name="api")
    TrustRuleFactory.create(project=web)
    TrustRuleFactory.create(project=api)
    with pytest.raises(AmbiguousError):
        issue(assertion("1"))
    assert issue(assertion("1"), "api").project == api
    assert issue(assertion("2"), str(web.id)).project == web
    with pytest.raises(RefusedError, match="of the project"):
        issue(assertion("3"), "other")


@pytest.mark.django_db
def test_of_several_rules_of_a_project_the_oldest_holds() -> None:
    project = ProjectFactory.create()
    TrustRuleFactory.create(project=project, max_requests=1)
    TrustRuleFactory.create(project=project, max_requests=2)
    assert issue(assertion()).max_requests == 1


@pytest.mark.django_db(transaction=True)
def test_of_many_at_the_same_time_one_receives_a_token() -> None:
    TrustRuleFactory.create()
    outcomes: list[str] = []
    start = Barrier(6)

    def attempt() -> None:
        start.wait()
        try:
            issue_for(assertion(), project="", now=timezone.now())
            outcomes.append("issued")
        except ReplayedError:
            outcomes.append("replayed")
        finally:
            connection.close()

    threads = [Thread(target=attempt) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["issued"] + ["replayed"] * 5
    assert AccessToken.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize("cleaner", ["command", "schedule"])
def test_what_is_too_old_to_be_shown_again_is_forgotten(cleaner: str, settings: Any) -> None:
    now = timezone.now()
    SpentAssertion.objects.create(digest="old", expires_at=now - timedelta(seconds=1))
    SpentAssertion.objects.create(digest="new", expires_at=now + timedelta(minutes=1))
    if cleaner == "command":
        run("cleanup_tokens")
    else:
        settings.SCHEDULE = True
        tasks()[0].run(lambda: False)
    assert [spent.digest for spent in SpentAssertion.objects.all()] == ["new"]
