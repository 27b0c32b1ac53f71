import re

import pytest
from django.test import Client
from django.urls import reverse

from projects.access import VIEWER
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
PAGE = "/admin/live/"


def signed_in(client: Client, **person: object) -> Client:
    client.force_login(UserFactory.create(**person))
    return client


def test_who_may_view_usage_records_sees_the_page(client: Client) -> None:
    answer = signed_in(client, role=VIEWER).get(PAGE)
    assert answer.status_code == 200
    assert reverse("live") == PAGE
    html = answer.content.decode()
    assert "<caption" in html
    assert 'aria-live="off"' in html


def test_it_runs_under_a_policy_that_forbids_inline_scripts_and_styles(client: Client) -> None:
    html = signed_in(client, superuser=True).get(PAGE).content.decode()
    own = html[html.index('<div id="content-main"') :]
    assert "<script" not in own
    assert not re.search(r"\sstyle=|\son\w+=|<style", own)
    assert re.search(r'<script src="/static/llm_proxy/live\.js" defer>', html)


def test_others_do_not(client: Client) -> None:
    assert client.get(PAGE).headers["location"] == "/admin/login/?next=/admin/live/"
    assert signed_in(client, is_staff=True).get(PAGE).status_code == 403
    assert signed_in(client).get(PAGE).status_code == 302


def test_every_page_leads_to_it(client: Client) -> None:
    answer = signed_in(client, role=VIEWER).get("/admin/usage/usagerecord/")
    assert f'href="{PAGE}"' in answer.content.decode()
