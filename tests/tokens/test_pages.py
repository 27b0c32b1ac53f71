"""What the admin's pages of tokens offer beyond editing: presets, snippets, rotation, renewal, filters."""

import ast
import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.models import AuditEvent
from projects.access import OPERATOR
from tests.factories import AccessTokenFactory, ProjectFactory, UserFactory, issue_token, stored_text
from tokens.forms import IssueForm
from tokens.models import AccessToken
from tokens.presets import PRESETS, values_of
from tokens.snippets import snippets

pytestmark = pytest.mark.django_db
LIST = reverse("admin:tokens_accesstoken_changelist")
ADD = reverse("admin:tokens_accesstoken_add")
PLAIN = re.compile(r"sk-wt-[0-9A-Za-z]{55}")
HOUR = timedelta(hours=1)


@pytest.fixture
def ada(client: Client) -> Client:
    client.force_login(UserFactory(superuser=True, username="ada"))
    return client


def page(token: AccessToken) -> str:
    return reverse("admin:tokens_accesstoken_change", args=[token.pk])


def test_the_form_begins_with_a_preset_and_keeps_the_project(ada: Client) -> None:
    project = ProjectFactory()
    response = ada.get(ADD, {"preset": "ci", "project": str(project.pk)})
    html = response.content.decode()
    assert f'<option value="{project.pk}" selected>' in html
    assert 'name="lifetime" value="1h"' in html
    assert f"?preset=service&amp;project={project.pk}" in html
    assert ada.get(ADD, {"preset": "nonsense", "project": "<b>"}).status_code == 200


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_each_preset_is_something_that_can_be_issued(preset: Any) -> None:
    values = {"project": ProjectFactory().pk, **values_of(preset.name)}
    form = IssueForm(UserFactory(superuser=True), values)
    assert form.is_valid(), form.errors


def test_snippets_are_for_the_address_at_hand(ada: Client) -> None:
    form = {"project": ProjectFactory().pk, "lifetime": "1h"}
    html = ada.post(ADD, form, headers={"host": "localhost:8123"}).content.decode()
    text = unescape(html)
    plain = PLAIN.findall(text)[0]
    for snippet in snippets("http://localhost:8123/v1", plain):
        assert snippet.text in text
        assert f'data-copies="issued-{snippet.name}"' in html


def test_the_python_snippet_is_python() -> None:
    (python,) = (each for each in snippets("https://proxy.example/v1", "sk-wt-x") if each.name == "python")
    assert ast.parse(python.text)


def test_a_rotation_shows_the_new_plain_text_once_and_lets_the_old_one_go_on(ada: Client) -> None:
    token, old = issue_token(name="laptop")
    response = ada.post(page(token), {"_rotate": "Rotate", "grace": "24h"})
    html = response.content.decode()
    plain = PLAIN.findall(html)[0]
    assert (response.status_code, "no-store" in response.headers["cache-control"]) == (200, True)
    assert "The token is rotated" in html
    assert "The one before works until" in html
    assert AccessToken.objects.of(plain).get() == AccessToken.objects.of(old).get() == token
    assert AuditEvent.objects.latest("id").action == "token.rotated"
    assert plain not in stored_text() + ada.get(page(token)).content.decode()


def test_a_rotation_without_grace_ends_the_old_plain_text(ada: Client) -> None:
    token, old = issue_token()
    ada.post(page(token), {"_rotate": "Rotate", "grace": "0s"})
    assert not AccessToken.objects.of(old).exists()


@pytest.mark.parametrize("form", [{}, {"grace": "99d"}, {"grace": "nonsense"}])
def test_a_grace_that_is_not_offered_rotates_nothing(ada: Client, form: dict[str, str]) -> None:
    token, old = issue_token()
    assert ada.post(page(token), {"_rotate": "Rotate", **form}).status_code == 302
    assert AccessToken.objects.of(old).get().previous_digest is None


def test_a_dead_token_is_not_rotated_and_it_says_why(ada: Client) -> None:
    token, _ = issue_token(expires_at=timezone.now() - HOUR)
    response = ada.post(page(token), {"_rotate": "Rotate", "grace": "1h"}, follow=True)
    assert "A token that is expired cannot be rotated." in response.content.decode()


def test_a_token_is_renewed_where_its_project_permits_it(ada: Client) -> None:
    token = AccessTokenFactory(
        project=ProjectFactory(permits_renewal=True), expires_at=timezone.now() + HOUR / 2
    )
    assert 'name="_renew"' in ada.get(page(token)).content.decode()
    assert "Renewed: 1." in ada.post(page(token), {"_renew": "Renew"}, follow=True).content.decode()
    token.refresh_from_db()
    assert token.expires_at > timezone.now() + HOUR * 0.9
    assert AuditEvent.objects.latest("id").action == "token.renewed"


def test_a_renewal_that_is_not_permitted_says_so(ada: Client) -> None:
    token = AccessTokenFactory()
    assert 'name="_renew"' not in ada.get(page(token)).content.decode()
    assert (
        "does not permit renewal" in ada.post(page(token), {"_renew": "Renew"}, follow=True).content.decode()
    )


def test_who_may_only_view_can_neither_rotate_nor_renew(client: Client) -> None:
    token, old = issue_token()
    user = UserFactory(role=None, is_staff=True, projects=[token.project])
    user.user_permissions.set(Permission.objects.filter(codename="view_accesstoken"))
    client.force_login(user)
    assert 'name="_rotate"' not in client.get(page(token)).content.decode()
    assert client.post(page(token), {"_rotate": "Rotate", "grace": "1h"}).status_code == 403
    assert client.post(page(token), {"_renew": "Renew"}).status_code == 403
    assert AccessToken.objects.of(old).exists()


def test_an_operator_cannot_rotate_a_token_of_another_project(client: Client) -> None:
    token, _ = issue_token()
    client.force_login(UserFactory(role=OPERATOR, projects=[ProjectFactory()]))
    response = client.post(page(token), {"_rotate": "Rotate", "grace": "1h"})
    assert (response.status_code, PLAIN.findall(response.content.decode())) == (302, [])
    token.refresh_from_db()
    assert token.previous_digest is None


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ({"state": "exhausted"}, {"max_requests": 1, "request_count": 1}),
        ({"state": "idle"}, {"idle_ttl": HOUR, "created_at": timezone.now() - 2 * HOUR}),
        ({"state": "expired"}, {"expires_at": timezone.now() - HOUR}),
        ({"near": "expiring"}, {"expires_at": timezone.now() + HOUR}),
        ({"near": "unused"}, {"created_at": timezone.now() - timedelta(days=8)}),
    ],
)
def test_list_is_filtered_by_state_and_by_what_is_near(
    ada: Client, query: dict[str, str], fields: dict[str, Any]
) -> None:
    usual = {"ttl": timedelta(days=30)}
    AccessTokenFactory(name="wanted-token", **(usual | fields))
    AccessTokenFactory(name="other-token", **usual)
    html = ada.get(LIST, query).content.decode()
    assert "wanted-token" in html
    assert "other-token" not in html


def test_states_are_badges_and_what_is_left_are_bars(ada: Client) -> None:
    AccessTokenFactory(
        max_requests=10,
        request_count=9,
        created_at=timezone.now() - HOUR / 2,
        expires_at=timezone.now() + HOUR / 2,
    )
    AccessTokenFactory(is_active=False, revoked_at=timezone.now())
    html = ada.get(LIST).content.decode()
    assert '<span class="badge good">active</span>' in html
    assert '<span class="badge bad">revoked</span>' in html
    assert re.search(r'29 min left<svg class="bar".*?class="chart-first" width="(49|50)"', html)
    assert re.search(r'9 / 10<svg class="bar".*?class="chart-second" width="90"', html)


def test_names_cannot_be_markup(ada: Client) -> None:
    project = ProjectFactory(name="<i>project</i>")
    token = AccessTokenFactory(project=project, name="<img src=x onerror=alert(1)>")
    form = {"project": project.pk, "name": "<img src=x onerror=alert(1)>", "lifetime": "1h"}
    for response in (ada.get(LIST), ada.get(page(token)), ada.post(ADD, form)):
        html = response.content.decode()
        assert "<img src=x" not in html
        assert "<i>project" not in html
