"""What every page of the control plane tells browsers."""

import pytest
from django.test import Client

from llm_proxy_site.security_headers import CONTENT_SECURITY_POLICY
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", ["/admin/login/", "/admin/", "/admin/nothing/", "/nothing"])
def test_every_page_has_the_policy_and_may_not_be_framed(client: Client, path: str) -> None:
    headers = client.get(path).headers
    assert headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_policy_has_no_exception() -> None:
    assert CONTENT_SECURITY_POLICY.startswith("default-src 'none'; ")
    for loophole in ("unsafe", "*", "data:", "http", "blob:"):
        assert loophole not in CONTENT_SECURITY_POLICY


def test_pages_have_no_scripts_or_styles_in_them(client: Client) -> None:
    client.force_login(UserFactory(superuser=True))
    for path in ("/admin/", "/admin/tokens/accesstoken/", "/admin/tokens/accesstoken/add/"):
        html = client.get(path).content.decode()
        assert "<style" not in html
        assert " style=" not in html
        assert "<script>" not in html
