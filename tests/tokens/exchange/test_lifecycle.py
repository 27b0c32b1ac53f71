from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from audit.models import AuditEvent
from tests.factories import ProjectFactory, TrustRuleFactory
from tests.issuers import AUDIENCE, REPOSITORY
from tokens.exchange.lifecycle import create_rule, delete_rule, update_rule
from tokens.exchange.models import TrustRule
from tokens.lifetime import NEVER

pytestmark = pytest.mark.django_db


def create(**fields: Any) -> TrustRule:
    values = {"name": "web", "issuer": "https://gitlab.com", "audience": AUDIENCE, "claims": REPOSITORY}
    project = fields.pop("project", None) or ProjectFactory.create()
    return create_rule(**(values | fields), project=project, actor="user:ada")


def test_a_rule_is_made_with_its_event() -> None:
    rule = create(max_requests=5)
    event = AuditEvent.objects.get(action="trust_rule.created")
    assert (event.actor, event.project_id, event.subject_name) == ("user:ada", rule.project_id, "web")
    assert event.details == {
        "name": "web",
        "project": str(rule.project_id),
        "issuer": "https://gitlab.com",
        "audience": AUDIENCE,
        "claims": REPOSITORY,
        "ttl": "1h",
        "is_active": True,
        "max_requests": 5,
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "  "),
        ("audience", ""),
        ("issuer", ""),
        ("issuer", "http://gitlab.com"),
        ("issuer", "http://127.0.0.1:8000"),
        ("issuer", "https://ada@gitlab.com"),
        ("issuer", "https://gitlab.com?x"),
        ("issuer", "https://gitlab.com#x"),
        ("issuer", "https://git lab.com"),
        ("issuer", "https://gitlab.com\\@evil.example.com"),
        ("issuer", "gitlab.com"),
        ("claims", {}),
        ("claims", {"sub": ["*"]}),
        ("ttl", NEVER),
        ("ttl", timedelta(seconds=5)),
        ("max_requests", 0),
        ("rules", {"model": []}),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_field(field: str, value: object) -> None:
    with pytest.raises(ValidationError) as refused:
        create(**{field: value})
    assert list(refused.value.message_dict) == [field]
    assert not TrustRule.objects.exists()


def test_loopback_is_an_issuer_only_where_it_is_permitted(settings: Any) -> None:
    settings.EXCHANGE_LOOPBACK_HTTP = True
    assert create(issuer="http://127.0.0.1:8000")
    with pytest.raises(ValidationError):
        create(name="other", issuer="http://10.0.0.1:8000")


def test_a_lifetime_is_what_the_project_permits() -> None:
    project = ProjectFactory.create(longest_ttl=timedelta(minutes=30), permits_never=True)
    with pytest.raises(ValidationError, match="at most 30m"):
        create(project=project)
    with pytest.raises(ValidationError, match="must expire"):
        create(project=project, ttl=NEVER)
    assert create(project=project, ttl=timedelta(minutes=30))


def test_a_rule_whose_lifetime_is_too_long_by_now_can_be_switched_off() -> None:
    project = ProjectFactory.create(longest_ttl=timedelta(minutes=30))
    rule = TrustRuleFactory.create(project=project, ttl=timedelta(hours=2))
    assert update_rule(rule, is_active=False, actor="user:ada")
    with pytest.raises(ValidationError, match="at most 30m"):
        update_rule(rule, ttl=timedelta(hours=1), actor="user:ada")


def test_a_change_is_audited_once() -> None:
    rule = TrustRuleFactory.create()
    assert update_rule(rule, ttl=timedelta(minutes=5), is_active=False, actor="user:ada")
    assert not update_rule(rule, ttl=timedelta(minutes=5), actor="user:ada")
    assert AuditEvent.objects.get(action="trust_rule.changed").details == {
        "ttl": {"before": "1h", "after": "5m"},
        "is_active": {"before": True, "after": False},
    }


def test_a_bad_change_is_none() -> None:
    rule = TrustRuleFactory.create()
    with pytest.raises(ValidationError):
        update_rule(rule, claims={"sub": ["*"]}, actor="user:ada")
    rule.refresh_from_db()
    assert rule.claims == REPOSITORY
    assert not AuditEvent.objects.filter(action="trust_rule.changed").exists()


def test_what_is_deleted_is_in_the_audit_trail() -> None:
    rule = TrustRuleFactory.create(name="web")
    delete_rule(rule, actor="user:ada")
    assert not TrustRule.objects.exists()
    assert AuditEvent.objects.get(action="trust_rule.deleted").details["claims"] == REPOSITORY
