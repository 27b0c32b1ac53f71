"""Usage of one project or token, and their budgets on their pages."""

from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from projects.access import VIEWER
from projects.models import Project
from tests.factories import AccessTokenFactory, ProjectFactory, UserFactory, usage_entry
from tokens.models import AccessToken
from usage.batches import write_batch
from usage.outcomes import CostSource

pytestmark = pytest.mark.django_db


@pytest.fixture
def token() -> AccessToken:
    """It has spent $0.75 of its dollar; another of its project has spent $0.25."""
    project = ProjectFactory(name="shop", monthly_budget_microusd=4_000_000)
    token = AccessTokenFactory(project=project, name="laptop", daily_budget_microusd=1_000_000)
    for spender, cost in ((token, 750_000), (AccessTokenFactory(project=project, name="server"), 250_000)):
        fields: dict[str, Any] = {"model": "gpt-4o", "status": 200, "cost_source": CostSource.PRICE}
        write_batch([usage_entry(spender, cost_microusd=cost, **fields)])
    return token


@pytest.fixture
def ada(client: Client) -> Client:
    client.force_login(UserFactory(superuser=True, username="ada"))
    return client


def page(subject: Project | AccessToken) -> str:
    name = "project_usage" if isinstance(subject, Project) else "token_usage"
    return reverse(name, args=[subject.pk])


def test_a_projects_page_has_its_totals_tokens_models_and_budgets(ada: Client, token: AccessToken) -> None:
    response = ada.get(page(token.project))
    assert {tile.name: tile.value for tile in response.context["summary"].tiles}["Cost"] == "$1.00"
    assert [[row.name for row in each.rows] for each in response.context["rankings"]] == [
        ["laptop", "server"],
        ["gpt-4o"],
    ]
    assert "$1.00 of $4.00 (25 %)" in response.content.decode()


def test_a_tokens_page_has_its_totals_and_budgets(ada: Client, token: AccessToken) -> None:
    response = ada.get(page(token), {"over": "30d"})
    assert {tile.name: tile.value for tile in response.context["summary"].tiles}["Cost"] == "$0.75"
    html = response.content.decode()
    assert "$0.75 of $1.00 (75 %)" in html
    assert "server" not in html


def test_budgets_stand_on_the_page_of_whatever_has_them(ada: Client, token: AccessToken) -> None:
    of_token = ada.get(reverse("admin:tokens_accesstoken_change", args=[token.pk])).content.decode()
    of_project = ada.get(reverse("admin:projects_project_change", args=[token.project_id])).content.decode()
    assert "$0.75 of $1.00 (75 %)" in of_token
    assert page(token) in of_token
    assert "$1.00 of $4.00 (25 %)" in of_project
    assert page(token.project) in of_project


def test_the_way_to_the_requests_is_good(ada: Client, token: AccessToken) -> None:
    for subject, field in ((token, "token"), (token.project, "project")):
        link = f"{reverse('admin:usage_usagerecord_changelist')}?over=24h&{field}__id__exact={subject.pk}"
        assert link in unescape(ada.get(page(subject)).content.decode())
        assert ada.get(link).status_code == 200


def test_members_of_other_projects_find_nothing(client: Client, token: AccessToken) -> None:
    client.force_login(UserFactory(role=VIEWER, projects=[ProjectFactory()]))
    assert [client.get(page(subject)).status_code for subject in (token, token.project)] == [404, 404]
    client.force_login(UserFactory(role=VIEWER, projects=[token.project]))
    assert [client.get(page(subject)).status_code for subject in (token, token.project)] == [200, 200]


def test_who_may_not_see_usage_is_refused(client: Client, token: AccessToken) -> None:
    assert client.get(page(token)).status_code == 302
    user = UserFactory(is_staff=True, projects=[token.project])
    user.user_permissions.set(Permission.objects.filter(codename="view_accesstoken"))
    client.force_login(user)
    assert client.get(page(token)).status_code == 403
