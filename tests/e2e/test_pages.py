"""The admin site's pages in a real browser."""

import pytest
from django.contrib.auth.models import User
from django.db.models import Model
from django.urls import reverse
from playwright.sync_api import Page, expect

from projects.access import VIEWER
from projects.models import Project
from tests.accessibility import serious_problems, watch
from tests.browser import PHONE, WIDE, Browser
from tests.factories import (
    AccessTokenFactory,
    ProjectFactory,
    TrustRuleFactory,
    UsageRecordFactory,
    UserFactory,
)
from tests.live import LiveProxy
from tests.llm_proxy_site.people.test_second_factor import code
from tests.pages import pages_of
from tests.usage.factories import ModelPriceFactory

LIKE_OTHERS = {
    *("project-add", "token-issue", "api-key-add", "price-add", "person-add", "trust-rule-add", "password"),
    *("trust-rules", "prices", "api-keys"),
    *("project-usage", "token-usage", "project-revoke"),
    *("projects that are deactivated", "token that is rotated", "password of another"),
}
"""Forms, lists and charts of which axe sees one each: it takes a second."""
COLOURED = {"dashboard", "token", "tokens", "request", "live", "token that is issued", "revocation"}
"""Pages with colours of ours."""
pytestmark = pytest.mark.browser
expect.set_options(timeout=20_000)


@pytest.fixture
def ada(live: LiveProxy, browser: Browser) -> User:
    """She is signed in."""
    user = UserFactory(superuser=True, username="ada")
    browser.sign_in(live.url, user)
    return user


def project_page(live: LiveProxy, browser: Browser, project: Project) -> Page:
    return browser.open(live.url + reverse("admin:projects_project_change", args=[project.pk]))


@pytest.mark.parametrize("browser", [{"viewport": PHONE}], indirect=True, ids=[""])
def test_pages_can_be_read_by_everybody_under_our_policy_and_fit_a_phone(
    live: LiveProxy, browser: Browser, ada: User
) -> None:
    record = UsageRecordFactory()
    UserFactory(role=VIEWER, projects=[record.project])
    page = browser.open(live.url + reverse("admin:index"))
    watch(page)
    problems = []
    for name, path in pages_of(record.project, record.token, record).items():
        page.goto(live.url + path)
        problems += too_wide(page, name)
        if name not in LIKE_OTHERS:
            problems += problems_of(page, name)

    page.goto(live.url + reverse("admin:second_factor"))
    page.get_by_role("button", name="Set it up").click()
    page.get_by_text("It is not shown again").wait_for()
    problems += problems_of(page, "secret of the second factor")
    page.goto(live.url + reverse("admin:tokens_accesstoken_add"))
    page.get_by_role("button", name="Issue token").click()
    page.get_by_text("This field is required").wait_for()
    problems += problems_of(page, "token that cannot be issued")
    page.get_by_label("Project").select_option(str(record.project_id))
    page.get_by_role("button", name="Issue token").click()
    page.locator("#issued-token").wait_for()
    problems += problems_of(page, "token that is issued")
    browser.sign_out()
    page.goto(live.url + reverse("admin:login"))
    problems += problems_of(page, "sign-in")
    assert "\n".join(problems) == ""
    assert browser.complaints == []


@pytest.mark.parametrize("browser", [{"viewport": PHONE}], indirect=True, ids=[""])
def test_pages_that_acts_lead_to_can_be_read_by_everybody_and_fit_a_phone(
    live: LiveProxy, browser: Browser, ada: User
) -> None:
    project = ProjectFactory()
    token = AccessTokenFactory(project=project)
    rule, price = TrustRuleFactory(project=project), ModelPriceFactory()
    grace = UserFactory(role=VIEWER, projects=[project])
    page = browser.open(live.url + reverse("admin:index"))
    watch(page)
    problems = []

    def look(name: str) -> None:
        problems.extend(too_wide(page, name))
        if name not in LIKE_OTHERS:
            problems.extend(problems_of(page, name))

    page.goto(live.url + reverse("admin:tokens_trustrule_changelist"))
    choose(page, rule, "delete_selected")
    page.get_by_role("heading", name="Delete multiple objects").wait_for()
    look("deletion of the rules that are chosen")
    page.goto(live.url + reverse("admin:auth_user_delete", args=[grace.pk]))
    look("deletion of a person")
    page.goto(live.url + reverse("admin:usage_modelprice_change", args=[price.pk]))
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("was changed successfully").wait_for()
    look("price that is saved")
    page.goto(live.url + reverse("admin:projects_project_changelist"))
    choose(page, project, "deactivate")
    page.get_by_text("Deactivated: 1").wait_for()
    look("projects that are deactivated")
    page.goto(live.url + reverse("revoke_tokens", args=[project.pk]))
    look("revocation")
    page.goto(live.url + reverse("admin:tokens_accesstoken_change", args=[token.pk]))
    page.get_by_role("button", name="Rotate").click()
    page.locator("#issued-token").wait_for()
    look("token that is rotated")
    page.goto(live.url + reverse("admin:llm_proxy_site_apikey_add"))
    page.get_by_label("Name").fill("notebook")
    page.get_by_role("checkbox").first.check()
    page.get_by_role("button", name="Save", exact=True).click()
    page.locator("#created-key").wait_for()
    look("API key that is made")
    page.goto(live.url + reverse("admin:audit_auditevent_changelist"))
    page.get_by_role("button", name="Verify the chain").click()
    page.get_by_text("Chain verified").wait_for()
    look("audit trail that is verified")
    page.goto(live.url + reverse("admin:auth_user_password_change", args=[grace.pk]))
    look("password of another")
    page.goto(live.url + reverse("admin:second_factor"))
    page.get_by_role("button", name="Set it up").click()
    secret = page.locator("pre").first.inner_text()
    page.get_by_role("textbox").fill(code(secret))
    page.get_by_role("button", name="Confirm").click()
    page.get_by_role("heading", name="Recovery codes").wait_for()
    look("recovery codes")
    page.goto(live.url + reverse("admin:second_factor"))
    look("second factor that is there")
    page.goto(live.url + reverse("admin:index"))
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("heading", name="Logged out").wait_for()
    look("signed out")
    assert "\n".join(problems) == ""
    assert browser.complaints == []


def choose(page: Page, row: Model, action: str) -> None:
    page.locator(f"input[name=_selected_action][value='{row.pk}']").check()
    page.get_by_label("Action:").select_option(action)
    page.locator("button[name=index]").click()


def problems_of(page: Page, name: str) -> list[str]:
    """As axe sees a page on a phone, with all its tabs open. What wide screens add is the same on all."""
    page.evaluate("document.querySelectorAll('[role=tabpanel]').forEach(part => { part.hidden = false })")
    found = serious_problems(page)
    if name == "project":
        page.set_viewport_size(WIDE)
        found += serious_problems(page, within="#nav-sidebar")
    if name == "project" or name in COLOURED:
        page.emulate_media(color_scheme="dark")
        found += serious_problems(page, ["color-contrast"])
        page.emulate_media(color_scheme="light")
    page.set_viewport_size(PHONE)
    return [f"{name}: {problem}" for problem in found]


def too_wide(page: Page, name: str) -> list[str]:
    """The page, or a list on it."""
    parts = "[document.documentElement, ...document.querySelectorAll('.results, .inline-group')]"
    fits = page.evaluate(f"{parts}.every((part) => part.scrollWidth <= part.clientWidth)")
    return [] if fits else [f"{name}: wider than the screen"]


@pytest.mark.parametrize("browser", [{"viewport": PHONE}], indirect=True, ids=[""])
def test_a_list_on_a_phone_names_its_values_and_opens_its_filters_by_a_button(
    live: LiveProxy, browser: Browser, ada: User
) -> None:
    token = AccessTokenFactory(name="nightly")
    page = browser.open(live.url + reverse("admin:tokens_accesstoken_changelist"))
    expect(page.locator(".field-project")).to_have_attribute("data-label", "Project")
    revoked = page.get_by_role("link", name="revoked", exact=True)
    expect(revoked).to_be_hidden()
    page.get_by_role("button", name="Filters", exact=True).press("Enter")
    revoked.click()
    expect(page.get_by_role("button", name="Filters, some in use")).to_have_attribute(
        "aria-expanded", "false"
    )
    expect(page.get_by_text(str(token))).to_have_count(0)
    page.set_viewport_size(WIDE)
    expect(page.get_by_role("link", name="revoked", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Filters")).to_have_count(0)
    page.set_viewport_size(PHONE)
    page.goto(live.url + reverse("admin:projects_project_change", args=[token.project_id]))
    page.get_by_role("tab", name="upstream keys").click()
    expect(page.get_by_role("button", name="Test")).to_be_visible()
    assert too_wide(page, "upstream keys") == []
    assert browser.complaints == []


def test_a_project_is_read_by_tabs_with_the_keyboard_and_its_key_is_tried(
    live: LiveProxy, browser: Browser, ada: User
) -> None:
    page = project_page(live, browser, ProjectFactory(base_url=live.upstream_url))
    general = page.get_by_role("tab", name="general")
    expect(general).to_have_attribute("aria-selected", "true")
    general.press("ArrowRight")
    expect(page.get_by_label("Base URL")).to_be_visible()
    expect(page.get_by_label("Name", exact=False).first).to_be_hidden()
    page.get_by_role("tab", name="upstream keys").click()
    page.get_by_role("button", name="Test").click()
    expect(page.get_by_text("works: 200 after")).to_be_visible()
    assert browser.complaints == []


def test_a_field_that_is_wrong_is_on_the_tab_that_shows(live: LiveProxy, browser: Browser, ada: User) -> None:
    page = project_page(live, browser, ProjectFactory())
    page.get_by_role("tab", name="lifetime").click()
    page.get_by_label("Longest lifetime").fill("nonsense")
    page.get_by_role("tab", name="general").click()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_label("Longest lifetime")).to_be_visible()
    expect(page.get_by_text("A lifetime is a number and a unit")).to_be_visible()
