"""Rows for tests, with valid defaults; `stored_text` is all of them, to look for what must not be there."""

# mypy: disallow-subclassing-any=False

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import factory
from django.contrib.auth.models import Group, User
from django.contrib.sessions.models import Session
from django.db import connection
from django.utils import timezone
from factory.django import DjangoModelFactory, Password
from uuid_utils.compat import uuid7

from projects.capture import CaptureRule
from projects.models import Membership, Project, UpstreamKey
from tests.issuers import AUDIENCE, REPOSITORY
from tokens import lifecycle
from tokens.exchange.models import TrustRule
from tokens.lifetime import NEVER
from tokens.models import AccessToken
from usage.captures.content import conceal
from usage.captures.raw import RawBody, RawCapture
from usage.entry import UsageEntry
from usage.models import CapturedBodies, DailySpend, UsageRecord
from usage.outcomes import Outcome

UPSTREAM_KEY = "sk-upstream-0123456789abcdefWXYZ"


class UserFactory(DjangoModelFactory[User]):
    """`UserFactory(superuser=True)` for one who may do everything; no password unless one is given.

    `UserFactory(role=OPERATOR, projects=[...])`: of staff, with a role, a member of these projects.
    """

    class Meta:
        model = User
        skip_postgeneration_save = True

    class Params:
        superuser = factory.Trait(is_staff=True, is_superuser=True)

    username = factory.Sequence("user{}".format)
    password = Password(None)

    @factory.post_generation
    def role(self: User, create: bool, name: str | None, **kwargs: Any) -> None:
        if name is not None:
            self.is_staff = True
            self.save()
            self.groups.add(Group.objects.get(name=name))

    @factory.post_generation
    def projects(self: User, create: bool, projects: Sequence[Project] | None, **kwargs: Any) -> None:
        for project in projects or ():
            Membership.objects.create(user=self, project=project)


class UpstreamKeyFactory(DjangoModelFactory[UpstreamKey]):
    class Meta:
        model = UpstreamKey

    project = factory.SubFactory("tests.factories.ProjectFactory", upstream_key=None)
    plain = UPSTREAM_KEY

    @classmethod
    def _create(cls, model_class: type[UpstreamKey], *args: Any, plain: str, **fields: Any) -> UpstreamKey:
        key = model_class(**fields)
        key.conceal(plain)
        key.save()
        return key


class ProjectFactory(DjangoModelFactory[Project]):
    """With the upstream key UPSTREAM_KEY, or `upstream_key__plain=…`; with none: `upstream_key=None`."""

    class Meta:
        model = Project
        skip_postgeneration_save = True

    name = factory.Sequence("project {}".format)
    deactivated_at = factory.Maybe("is_active", None, factory.LazyFunction(timezone.now))
    is_active = True
    upstream_key = factory.RelatedFactory(UpstreamKeyFactory, "project")


class AccessTokenFactory(DjangoModelFactory[AccessToken]):
    """Takes what issue_token takes."""

    class Meta:
        model = AccessToken

    @classmethod
    def _create(cls, model_class: type[AccessToken], *args: Any, **overrides: Any) -> AccessToken:
        return issue_token(**overrides)[0]


class TrustRuleFactory(DjangoModelFactory[TrustRule]):
    """For the JWTs that tests.issuers makes, of an issuer that does not run."""

    class Meta:
        model = TrustRule

    project = factory.SubFactory(ProjectFactory)
    name = factory.Sequence("rule {}".format)
    issuer = "https://issuer.example.com"
    audience = AUDIENCE
    claims = factory.LazyFunction(lambda: dict(REPOSITORY))


class UsageRecordFactory(DjangoModelFactory[UsageRecord]):
    class Meta:
        model = UsageRecord

    token = factory.SubFactory(AccessTokenFactory)
    project = factory.SelfAttribute("token.project")
    started_at = factory.LazyFunction(timezone.now)
    method = "POST"
    endpoint = "/chat/completions"
    path = "/v1/chat/completions"
    model = "gpt-4o-mini"
    outcome = Outcome.COMPLETED
    status = 200
    is_admitted = True
    input_tokens = 11
    output_tokens = 22
    duration_seconds = 0.5


class CapturedBodiesFactory(DjangoModelFactory[CapturedBodies]):
    """Of the request with this `id`: a request that is a JSON `text`, and no answer."""

    class Meta:
        model = CapturedBodies

    id = factory.LazyFunction(uuid7)
    project = factory.SubFactory(ProjectFactory)
    captured_at = factory.LazyFunction(timezone.now)
    text = "Hello"

    @classmethod
    def _create(cls, model_class: Any, *args: Any, text: str, **fields: Any) -> Any:
        data = bytearray(json.dumps({"text": text}).encode())
        rule = CaptureRule(False, 1, 10_000, (), True)
        raw = RawCapture(fields["id"], fields["project"].pk, 0, rule, lambda size_bytes: None)
        raw.request = RawBody("application/json", size_bytes=len(data), data=data)
        return model_class.objects.create(ciphertext=conceal(raw), **fields)


class DailySpendFactory(DjangoModelFactory[DailySpend]):
    """Of a `subject` alone, a token or a project: no other row follows. Today, or on a `day`."""

    class Meta:
        model = DailySpend

    class Params:
        subject = factory.SubFactory(AccessTokenFactory)

    subject_id = factory.SelfAttribute("subject.id")
    day = factory.LazyFunction(lambda: timezone.now().date())
    requests = 1


def usage_entry(token: AccessToken, **fields: Any) -> UsageEntry:
    """An admitted request of this token that has ended at once, as it is handed to the ledger."""
    values = {
        "id": uuid7(),
        "started_at": timezone.now().timestamp(),
        "method": "POST",
        "path": "/v1/chat/completions",
        "project_id": token.project_id,
        "token_id": token.id,
        "outcome": Outcome.COMPLETED,
        "is_admitted": True,
    }
    return UsageEntry(**(values | fields))


def issue_token(**overrides: Any) -> tuple[AccessToken, str]:
    """A token and its plain text. Overrides: lifecycle.issue's arguments, then fields of the row."""
    arguments: dict[str, Any] = {
        "ttl": timedelta(hours=1),
        "name": "",
        "max_requests": None,
        "actor": "user:factory",
        "now": timezone.now(),
    }
    arguments |= {name: overrides.pop(name) for name in arguments.keys() & overrides.keys()}
    project = overrides.pop("project", None) or ProjectFactory.create(permits_never=arguments["ttl"] == NEVER)
    token, plain = lifecycle.issue(project, **arguments)
    for field, value in overrides.items():
        setattr(token, field, value)
    token.save()
    return token, plain


def stored_text() -> str:
    """Everything in the database as one text, with what sessions hold inside."""
    rows: list[object] = [session.get_decoded() for session in Session.objects.all()]
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608
            rows += cursor.fetchall()
    return "\n".join(map(str, rows))
