"""The page of live requests, in a real browser."""

import httpx
import pytest
from django.contrib.sessions.models import Session
from playwright.sync_api import Page, expect

from tests.browser import PHONE, Browser
from tests.e2e.test_live_feed import CHAT, ask
from tests.factories import UserFactory, issue_token
from tests.live import LiveProxy

pytestmark = pytest.mark.browser
WITHIN_MS = 15_000


def opened(live: LiveProxy, browser: Browser, query: str = "") -> Page:
    """The page, once it is live."""
    browser.sign_in(live.url, UserFactory.create(superuser=True))
    page = browser.open(f"{live.url}/admin/live/{query}")
    page.set_default_timeout(WITHIN_MS)
    expect.set_options(timeout=WITHIN_MS)
    expect(page.locator("#live-state")).to_have_text("Live")
    return page


def test_requests_appear_on_top_and_can_be_paused_filtered_and_opened(
    live: LiveProxy, browser: Browser
) -> None:
    token, plain = issue_token(name="<b>nightly</b>")
    page = opened(live, browser, f"?token={token.id}")
    rows = page.locator("#live-rows tr")
    ask(live, plain, model="first")
    expect(rows).to_have_count(1)
    ask(live, plain, model="second")
    expect(rows).to_have_count(2)
    for text in ("second", "<b>nightly</b>", token.display, token.project.name, "completed", "200"):
        expect(rows.first).to_contain_text(text)

    pause = page.get_by_role("button", name="Pause")
    pause.focus()
    page.keyboard.press("Enter")
    expect(pause).to_have_attribute("aria-pressed", "true")
    ask(live, plain, model="third")
    page.wait_for_timeout(500)  # in which nothing happens
    expect(rows).to_have_count(2)
    page.keyboard.press("Enter")
    expect(rows).to_have_count(3)

    page.get_by_label("Model", exact=True).fill("four")
    expect(page).to_have_url(f"{live.url}/admin/live/?token={token.id}&model=four")
    expect(page.locator("#live-state")).to_have_text("Live")
    expect(rows).to_have_count(0)
    ask(live, plain, model="fifth")
    ask(live, plain, model="fourth")
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("fourth")

    with page.expect_navigation():
        rows.first.get_by_role("link").click()
    assert "/admin/usage/usagerecord/" in page.url
    expect(page.locator("#content")).to_contain_text("fourth")
    assert browser.complaints == []


def test_what_runs_is_counted_and_listed_on_demand(live: LiveProxy, browser: Browser) -> None:
    token, plain = issue_token(name="<b>nightly</b>")
    page = opened(live, browser, f"?token={token.id}")
    count, rows = page.locator("#live-running-count"), page.locator("#live-running-rows tr")
    expect(count).to_have_text("0 requests run now")
    headers = {"authorization": f"Bearer {plain}", "x-fake-chunk-delay-ms": "100", "x-fake-chunks": "600"}
    body = {**CHAT, "stream": True}
    with httpx.stream("POST", f"{live.base_url}/chat/completions", json=body, headers=headers):
        expect(count).to_have_text("1 request runs now")
        expect(rows).to_be_hidden()
        count.focus()
        page.keyboard.press("Enter")
        for text in ("<b>nightly</b>", token.project.name, "POST /chat/completions", CHAT["model"], " s"):
            expect(rows).to_contain_text(text)
    expect(count).to_have_text("0 requests run now")
    expect(page.locator("#live-rows tr")).to_have_count(1)
    assert browser.complaints == []


@pytest.mark.parametrize("browser", [{"viewport": PHONE}], indirect=True, ids=["phone"])
def test_the_page_fits_a_phone_and_says_when_the_session_is_over(live: LiveProxy, browser: Browser) -> None:
    token, plain = issue_token()
    page = opened(live, browser, f"?token={token.id}&nonsense=1")
    ask(live, plain)
    expect(page.locator("#live-rows tr")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    Session.objects.all().delete()
    expect(page.locator("#live-state")).to_contain_text("signed out")
    assert browser.complaints == []
