"""Rules of access tokens: how they are set, kept, and told to the data plane."""

import json

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.utils import timezone
from structlog.testing import capture_logs

from audit.models import AuditEvent
from projects.ruleset import REFUSE_ALL
from tests.commands import run_json
from tests.factories import AccessTokenFactory, ProjectFactory, UserFactory, issue_token
from tests.tokens.test_admin import ADD, change_form, issue_form, page
from tokens.lifecycle import issue
from tokens.loader import load_grant
from tokens.models import AccessToken
from tokens.origins import load_origins

pytestmark = pytest.mark.django_db
RULES = {"models": ["gpt-4o*"]}


@pytest.fixture
def ada(client: Client) -> Client:
    client.force_login(UserFactory(superuser=True, username="ada"))
    return client


def test_token_is_issued_with_rules_and_audited(ada: Client) -> None:
    ada.post(ADD, issue_form(ProjectFactory(), rules=json.dumps(RULES)))
    assert AccessToken.objects.get().rules == RULES
    assert AuditEvent.objects.get(action="token.issued").details["rules"] == RULES


def test_bad_rules_are_an_error_of_their_field(ada: Client) -> None:
    response = ada.post(ADD, issue_form(ProjectFactory(), rules='{"models": [5]}'))
    assert "models[0]: Expected `str`, got `int`." in str(response.context["adminform"].form.errors["rules"])
    assert not AccessToken.objects.exists()


def test_rules_are_edited_and_audited(ada: Client) -> None:
    token, _ = issue_token(rules=RULES)
    before = token.updated_at
    ada.post(page(token), change_form(token, rules='{"endpoints": ["chat"]}'))
    token.refresh_from_db()
    assert token.rules == {"endpoints": ["chat"]}
    assert token.updated_at > before
    event = AuditEvent.objects.get(action="token.changed")
    assert event.details == {"rules": {"before": RULES, "after": {"endpoints": ["chat"]}}}


def test_many_tokens_are_issued_with_the_same_rules() -> None:
    ProjectFactory.create(name="alpha")
    facts = run_json("create_tokens", "alpha", "--count", "2", "--rules", json.dumps(RULES))
    assert [each["rules"] for each in facts] == [RULES, RULES]


def test_no_act_takes_bad_rules() -> None:
    with pytest.raises(ValidationError) as refused:
        issue(ProjectFactory.create(), rules={"x": 1}, actor="cli:ada", now=timezone.now())
    assert refused.value.message_dict == {"rules": ["Object contains unknown field `x`."]}


def test_grant_has_the_rules_of_both() -> None:
    project = ProjectFactory.create(rules={"models": ["*"], "max_body_bytes": 5})
    grant = load_grant(AccessTokenFactory.create(project=project, rules=RULES).digest)
    assert grant is not None
    assert grant.rules is not None
    assert [allowed.globs for allowed in grant.rules.models] == [("*",), ("gpt-4o*",)]
    assert load_grant(AccessTokenFactory.create().digest).rules is None


def test_rules_that_cannot_be_read_refuse_everything_and_are_logged() -> None:
    token = AccessTokenFactory.create(rules={"modles": []})
    with capture_logs() as logs:
        grant = load_grant(token.digest)
    assert grant is not None
    assert grant.rules is REFUSE_ALL
    assert [line["event"] for line in logs] == ["rules cannot be read, all is refused"]


def test_origins_are_those_of_what_can_be_used() -> None:
    now = timezone.now()
    one, two, three, four, five = ({"origins": [f"https://{number}.example"]} for number in range(1, 6))
    off = ProjectFactory.create(is_active=False, rules=three)
    AccessTokenFactory.create(rules=one)
    AccessTokenFactory.create(rules=two, expires_at=None, project=ProjectFactory.create(rules=five))
    AccessTokenFactory.create(rules=four, is_active=False)
    AccessTokenFactory.create(rules=four, expires_at=now)
    AccessTokenFactory.create(rules={"origins": [5], "x": 1})
    token = AccessTokenFactory.create(rules=four)
    AccessToken.objects.filter(pk=token.pk).update(project=off)
    assert load_origins(now) == {b"https://1.example", b"https://2.example", b"https://5.example"}
