"""A newcomer's day in a real browser: from signing in to a token that works, is seen, and dies."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import Error, Locator, Page, expect

from tests.browser import Browser
from tests.factories import UPSTREAM_KEY, ProjectFactory, UserFactory
from tests.live import LiveProxy, eventually
from tokens.models import AccessToken
from usage.models import UsageRecord

CLIPBOARD = {"permissions": ["clipboard-read", "clipboard-write"]}
PASSWORD = "first day, first password"
MOST_TABS = 120
pytestmark = [
    pytest.mark.browser,
    pytest.mark.parametrize("browser", [CLIPBOARD], indirect=True, ids=[""]),
]
expect.set_options(timeout=20_000)


@pytest.fixture
def newcomer(live: LiveProxy) -> User:
    return UserFactory(superuser=True, username="newcomer", password=PASSWORD)


def test_a_newcomers_day(live: LiveProxy, browser: Browser, newcomer: User) -> None:
    page = browser.open(live.url)
    page.get_by_label("Username").fill(newcomer.username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()

    page.locator("#content").get_by_role("link", name="Projects", exact=True).last.click()
    page.get_by_role("link", name="Add project").click()
    page.get_by_label("Name:", exact=True).fill("webshop")
    page.get_by_label("Upstream key").fill(UPSTREAM_KEY)
    page.get_by_role("button", name="Save", exact=True).click()
    page.locator("#result_list").get_by_role("link", name="webshop").click()

    page.get_by_role("link", name="Issue token").click()
    page.get_by_role("link", name="CI job").click()
    page.wait_for_url("**preset=ci**")
    page.get_by_label("Name").fill("first steps")
    page.get_by_role("button", name="Issue token").click()
    plain = copied(page, "#issued-token")
    assert re.fullmatch(r"sk-wt-[0-9A-Za-z]{55}", plain)
    curl, python = copied(page, "#issued-curl"), copied(page, "#issued-python")

    watched = browser.open(live.url + reverse("live"))
    expect(watched.locator("#live-state")).to_have_text("Live")
    rows = watched.locator("#live-rows tr")
    assert '"gpt-4o-mini"' in ran("sh", "-c", curl)
    assert ran(sys.executable, "-c", python).strip()
    for text in ("webshop", "first steps", "POST /chat/completions", "gpt-4o-mini", "200", "completed"):
        expect(rows.first).to_contain_text(text)
    expect(rows.nth(1)).to_contain_text("GET /models")

    page.get_by_role("link", name="Go to first steps").click()
    with streaming(live, plain) as answer:
        assert b'"content"' in answer.readline() + answer.readline() + answer.readline()
        page.get_by_role("button", name="Revoke").click()
        expect(page.get_by_text("Revoked: 1.")).to_be_visible()
        assert b"invalid_api_key" in answer.read()  # which ends
    expect(rows.first).to_contain_text("cut: invalid_api_key")
    assert "invalid_api_key" in ran("sh", "-c", curl)

    eventually(lambda: UsageRecord.objects.filter(outcome="cut").first())
    page.goto(live.url + reverse("admin:index"))
    top = page.locator(".panel", has_text="Top projects").locator("tr", has_text="webshop")
    assert int(top.locator("td").first.inner_text()) >= 3
    page.goto(live.url + reverse("admin:audit_auditevent_changelist"))
    event = page.locator("#result_list tbody tr").first
    for text in ("user:newcomer", "token.revoked", "first steps", "127.0.0.1"):
        expect(event).to_contain_text(text)
    page.get_by_role("button", name="Verify the chain").click()
    expect(page.locator(".verdict-good")).to_be_visible()

    with pytest.raises(Error, match="ERR_CACHE_MISS"):  # nothing has kept the page of the secret
        go_back_to_the_secret(page)
    assert browser.complaints == []


def test_a_token_is_issued_copied_and_revoked_without_a_mouse(
    live: LiveProxy, browser: Browser, newcomer: User
) -> None:
    ProjectFactory(name="webshop")
    page = browser.open(live.url)
    page.keyboard.type(newcomer.username)  # where the page puts us
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Control room").wait_for()

    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # skip to the content
    press(page, page.locator("#content .model-accesstoken .addlink"))
    go_to(page, page.get_by_label("Project"))
    page.keyboard.type("webshop")
    go_to(page, page.get_by_label("Name"))
    page.keyboard.type("by hand")
    press(page, page.get_by_role("button", name="Issue token"))
    press(page, page.locator("[data-copies=issued-token]"))
    expect(page.get_by_role("button", name="Copied")).to_be_focused()
    plain = page.evaluate("navigator.clipboard.readText()")
    assert AccessToken.objects.of(plain).get().name == "by hand"

    press(page, page.get_by_role("link", name="Go to by hand"))
    press(page, page.get_by_role("button", name="Revoke"))
    expect(page.get_by_text("Revoked: 1.")).to_be_visible()
    assert browser.complaints == []


def go_back_to_the_secret(page: Page) -> None:
    while "/add/" not in page.url:
        page.go_back()


def copied(page: Page, source: str) -> str:
    """What the button below this text has put on the clipboard."""
    page.locator(f"{source} + button").click()
    expect(page.locator(f"{source} + button")).to_have_text("Copied")
    return str(page.evaluate("navigator.clipboard.readText()"))


def ran(*command: str) -> str:
    """What it prints; what it complains of is shown where it fails."""
    if command[0] == "sh" and shutil.which("curl") is None:
        pytest.fail("no curl")
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def streaming(live: LiveProxy, plain: str) -> Iterator[IO[bytes]]:
    """An answer that takes a minute, as it comes."""
    body = '{"model": "gpt-4o-mini", "stream": true, "messages": [{"role": "user", "content": "Go on."}]}'
    headers = [f"Authorization: Bearer {plain}", "x-fake-chunk-delay-ms: 100", "x-fake-chunks: 600"]
    curl = ["curl", "-sN", f"{live.base_url}/chat/completions", "-d", body, "-m", "30"]
    for header in (*headers, "Content-Type: application/json"):
        curl += ["-H", header]
    with subprocess.Popen(curl, stdout=subprocess.PIPE) as asked:
        try:
            assert asked.stdout is not None
            yield asked.stdout
        finally:
            asked.kill()


def go_to(page: Page, wanted: Locator) -> None:
    """With the Tab key. Where we are can be seen."""
    wanted.wait_for()
    element = wanted.element_handle()
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        if page.evaluate("element => element === document.activeElement", element):
            return
    pytest.fail(f"the Tab key does not lead to {wanted}")


def press(page: Page, wanted: Locator) -> None:
    go_to(page, wanted)
    page.keyboard.press("Enter")
