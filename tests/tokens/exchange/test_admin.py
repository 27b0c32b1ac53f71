from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from audit.models import AuditEvent
from projects.access import OPERATOR, VIEWER
from projects.models import Project
from tests.factories import ProjectFactory, TrustRuleFactory, UserFactory
from tokens.exchange.models import TrustRule

pytestmark = pytest.mark.django_db
LIST = reverse("admin:tokens_trustrule_changelist")
ADD = reverse("admin:tokens_trustrule_add")


@pytest.fixture
def ada(client: Client) -> Client:
    client.force_login(UserFactory(superuser=True, username="ada"))
    return client


def page(rule: TrustRule, view: str = "change") -> str:
    return reverse(f"admin:tokens_trustrule_{view}", args=[rule.pk])


def form(project: Project, **values: Any) -> dict[str, Any]:
    return {
        "name": "ci",
        "project": project.pk,
        "is_active": "on",
        "issuer": "https://gitlab.com",
        "audience": "proxy",
        "claims": "project_path=acme/web\nref=main\nref=v*",
        "ttl": "15m",
    } | values


def test_a_rule_is_added(ada: Client) -> None:
    page = ada.get(ADD).content.decode()
    assert "repository=acme/web" in page
    assert "token.actions.githubusercontent.com" in page
    answer = ada.post(ADD, form(ProjectFactory.create(), max_requests="3"))
    assert answer.status_code == 302, answer.context["adminform"].errors
    rule = TrustRule.objects.get()
    assert rule.claims == {"project_path": ["acme/web"], "ref": ["main", "v*"]}
    assert (rule.ttl, rule.max_requests) == (timedelta(minutes=15), 3)
    assert AuditEvent.objects.get(action="trust_rule.created").actor == "user:ada"
    assert "ref=v*" in ada.get(LIST).content.decode()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("claims", ""),
        ("claims", "sub=*"),
        ("claims", "sub"),
        ("issuer", "http://gitlab.com"),
        ("ttl", ""),
        ("ttl", "never"),
        ("ttl", "2d"),
        ("ttl", "soon"),
        ("audience", ""),
    ],
)
def test_what_makes_no_sense_is_told_at_its_field(ada: Client, field: str, value: str) -> None:
    project = ProjectFactory.create(longest_ttl=timedelta(days=1))
    answer = ada.post(ADD, form(project, **{field: value}))
    assert list(answer.context["adminform"].errors) == [field]
    assert not TrustRule.objects.exists()


def test_a_rule_is_changed_and_deleted(ada: Client) -> None:
    rule = TrustRuleFactory.create(name="ci", issuer="https://gitlab.com", audience="proxy")
    ada.get(page(rule))
    ada.post(page(rule), form(rule.project, claims="repository=acme/web", ttl="1h", is_active=""))
    assert AuditEvent.objects.get(action="trust_rule.changed").details == {
        "is_active": {"before": True, "after": False}
    }
    ada.post(page(rule, "delete"), {"post": "yes"})
    assert not TrustRule.objects.exists()
    assert AuditEvent.objects.get(action="trust_rule.deleted").actor == "user:ada"


def test_several_are_deleted_each_with_its_event(ada: Client) -> None:
    rules = [TrustRuleFactory.create(), TrustRuleFactory.create()]
    chosen = [str(rule.pk) for rule in rules]
    ada.post(LIST, {"action": "delete_selected", "_selected_action": chosen, "post": "yes"})
    assert AuditEvent.objects.filter(action="trust_rule.deleted").count() == 2


@pytest.mark.parametrize("role", [VIEWER, OPERATOR])
def test_members_read_the_rules_of_their_projects(client: Client, role: str) -> None:
    rule, other = TrustRuleFactory.create(name="ours"), TrustRuleFactory.create(name="theirs")
    client.force_login(UserFactory(role=role, projects=[rule.project]))
    html = client.get(LIST).content.decode()
    assert "ours" in html
    assert "theirs" not in html
    assert other.project.name not in html  # nor among the filters
    assert "repository=acme/web" in client.get(page(rule)).content.decode()
    assert client.get(page(other)).status_code == 302
    assert client.get(ADD).status_code == client.post(page(rule), form(rule.project)).status_code == 403
    assert client.post(page(rule, "delete"), {"post": "yes"}).status_code == 403


def test_who_may_write_some_writes_those_of_their_projects(client: Client) -> None:
    rule, other = TrustRuleFactory.create(), TrustRuleFactory.create()
    writer = UserFactory(is_staff=True, projects=[rule.project])
    writer.user_permissions.set(Permission.objects.filter(content_type__model="trustrule"))
    client.force_login(writer)
    assert other.project.name not in client.get(ADD).content.decode()
    for url in (ADD, page(rule)):
        answer = client.post(url, form(other.project))
        assert list(answer.context["adminform"].errors) == ["project"]
    chosen = {"action": "delete_selected", "_selected_action": [str(other.pk)], "post": "yes"}
    client.post(LIST, chosen)
    assert client.post(page(other, "delete"), {"post": "yes"}).status_code == 302
    assert list(TrustRule.objects.order_by("id")) == [rule, other]
    assert client.post(ADD, form(rule.project)).status_code == 302
    assert TrustRule.objects.get(name="ci").project == rule.project


def test_who_may_only_read_sees_the_claims_as_they_are_written(client: Client) -> None:
    rule = TrustRuleFactory.create()
    reader = UserFactory(is_staff=True, projects=[rule.project])
    reader.user_permissions.add(Permission.objects.get(codename="view_trustrule"))
    client.force_login(reader)
    assert "repository=acme/web" in client.get(page(rule)).content.decode()
    assert client.post(page(rule), form(rule.project)).status_code == 403
