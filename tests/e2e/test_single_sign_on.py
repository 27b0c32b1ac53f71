"""Signing in to the admin site by a provider, in a real browser."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from audit.models import AuditEvent
from tests.accessibility import serious_problems, watch
from tests.browser import PHONE, Browser
from tests.live import serving
from tests.openid_provider import CLIENT_ID, CLIENT_SECRET, serving_openid_provider


@pytest.mark.browser
@pytest.mark.parametrize("browser", [{"viewport": PHONE}], indirect=True, ids=[""])
@pytest.mark.django_db(transaction=True)
def test_a_person_comes_in_by_the_button_and_goes_again(browser: Browser, tmp_path: Path) -> None:
    """A server of its own: its settings name the provider."""
    with serving_openid_provider() as provider:
        environment = {
            "SSO_ISSUER": provider.url,
            "SSO_CLIENT_ID": CLIENT_ID,
            "SSO_CLIENT_SECRET": CLIENT_SECRET,
            "SSO_NAME": "Example ID",
            "SSO_OPERATORS": "llm-viewers",
            "SIGN_IN_MAX_PER_NAME": "1",
            "LOG_LEVEL": "DEBUG",
        }
        with serving(tmp_path, **environment) as live:
            page = browser.open(f"{live.url}/admin/login/")
            watch(page)
            page.goto(f"{live.url}/admin/tokens/accesstoken/?q=ci")
            assert serious_problems(page) == []
            page.get_by_role("link", name="Sign in with Example ID").click()
            page.wait_for_url(f"{live.url}/admin/tokens/accesstoken/?q=ci")
            expect(page.get_by_text("ada@example.com")).to_be_visible()
            user = User.objects.get()
            assert [group.name for group in user.groups.all()] == ["operator"]
            page.get_by_role("button", name="Log out").click()
            page.goto(f"{live.url}/admin/")
            assert urlsplit(page.url).path == "/admin/login/"

            provider.person["groups"] = []
            page.get_by_role("link", name="Sign in with Example ID").click()
            expect(page.get_by_text("gives you no role here")).to_be_visible()
            assert serious_problems(page) == []
            page.get_by_role("link", name="Back to signing in").click()
            for text in ("Please enter the correct", "Too many attempts"):
                page.get_by_label("Username").fill("grace")
                page.get_by_label("Password").fill("wrong")
                page.get_by_role("button", name="Log in").click()
                page.get_by_text(text).first.wait_for()
                assert serious_problems(page) == []
        acts = list(AuditEvent.objects.order_by("sequence").values_list("action", flat=True))
        assert acts[3:7] == ["user.signed_in", "user.signed_out", "user.changed", "user.sign_in_failed"]
        told = [line for line in browser.complaints if "403" not in line and "429" not in line]
        assert told == []  # but for the pages' own statuses
        for secret in (CLIENT_SECRET, "code_verifier", "access-"):
            assert secret not in live.log()
