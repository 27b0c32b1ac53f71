"""No page can be framed, so that nobody clicks in ours what they see in another; answers to errors neither.
Pages by URL: test_pages.py.
"""

import pytest
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path

from llm_proxy_site import urls
from tests.factories import UserFactory
from tests.refusals.answers import text_of

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


def fails(request: HttpRequest) -> HttpResponse:
    raise RuntimeError


def is_away(request: HttpRequest) -> HttpResponse:
    raise OperationalError("away")


urlpatterns = [path("fails/", fails), path("away/", is_away), path("", include(urls))]
handler500 = urls.handler500


@pytest.fixture
def client() -> Client:
    client = Client(raise_request_exception=False, enforce_csrf_checks=True)
    client.force_login(UserFactory(is_staff=True))
    return client


@pytest.mark.parametrize(
    ("method", "target", "host", "status"),
    [
        ("GET", "/nothing", "testserver", 404),
        ("GET", "/admin/nothing/", "testserver", 404),
        ("GET", "/admin/projects/project/", "testserver", 403),
        ("POST", "/admin/", "testserver", 403),
        ("GET", "/admin/", "evil.test", 400),
        ("GET", "/fails/", "testserver", 500),
        ("GET", "/away/", "testserver", 503),
        ("GET", "/manage/projects", "testserver", 401),
        ("GET", "/manage/nothing", "testserver", 404),
        ("GET", "/manage/openapi.json", "testserver", 200),
        ("GET", "/static/llm_proxy/admin.css", "testserver", 200),
        ("GET", "/static/nothing.css", "testserver", 404),
    ],
)
def test_answers_may_not_be_framed(client: Client, method: str, target: str, host: str, status: int) -> None:
    answer = client.generic(method, target, headers={"Host": host})
    assert answer.status_code == status
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    text_of(answer)
