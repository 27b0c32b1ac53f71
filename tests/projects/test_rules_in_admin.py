"""Rules in the admin's forms of projects."""

import json

import pytest
from django.test import Client

from audit.models import AuditEvent
from projects.models import Project
from tests.factories import ProjectFactory, UserFactory
from tests.projects.test_admin import ADD, add_form, change_form, page

pytestmark = pytest.mark.django_db
RULES = {"models": ["gpt-4o*"], "shadow": ["models"]}


@pytest.fixture
def ada(client: Client) -> Client:
    client.force_login(UserFactory(superuser=True, username="ada"))
    return client


def test_rules_are_typed_as_json_and_shown_so(ada: Client) -> None:
    ada.post(ADD, add_form(rules=json.dumps(RULES)))
    project = Project.objects.get()
    assert project.rules == RULES
    assert AuditEvent.objects.get(action="project.created").details["rules"] == RULES
    html = ada.get(page(project)).content.decode()
    assert "&quot;gpt-4o*&quot;" in html
    assert "docs/policy.md" in html


def test_edited_rules_are_audited_with_before_and_after(ada: Client) -> None:
    project = ProjectFactory(rules=RULES)
    ada.post(page(project), change_form(project, rules=""))
    assert AuditEvent.objects.get().details == {"rules": {"before": RULES, "after": {}}}
    project.refresh_from_db()
    ada.post(page(project), change_form(project, rules=" "))
    assert AuditEvent.objects.count() == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("gpt-4o", "The rules are not JSON"),
        ('{"model": []}', "Object contains unknown field `model`."),
        ('{"models": [], "models": []}', "models: it is there twice."),
    ],
)
def test_bad_rules_are_an_error_of_their_field(ada: Client, text: str, problem: str) -> None:
    response = ada.post(ADD, add_form(rules=text))
    (shown,) = response.context["adminform"].form.errors["rules"]
    assert problem in shown
    assert not Project.objects.exists()
