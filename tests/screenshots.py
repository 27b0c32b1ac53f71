"""`python -m tests.screenshots FOLDER [PAGE ...]`: pictures of the admin's pages with data in them, light,
dark and on a phone.
"""

import base64
import os
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from contextlib import ExitStack
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

DATA = TemporaryDirectory(prefix="llm-proxy-pictures-")
os.environ["DATA_DIR"] = DATA.name
os.environ["DATABASE_URL"] = ""
os.environ["DJANGO_SETTINGS_MODULE"] = "llm_proxy_site.settings"
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # Playwright's event loop runs in this thread

import django

django.setup()

import httpx
from django.contrib.auth.models import User
from django.core.management import call_command
from django.urls import reverse
from playwright.sync_api import Page

from llm_proxy_site.processes import MANAGE, running
from tests.browser import PHONE, WIDE, browsing
from tests.demo_data import Team
from tests.factories import CapturedBodiesFactory
from tests.pages import pages_of
from usage.models import UsageRecord

LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": WIDE},
    "dark": {"viewport": WIDE, "color_scheme": "dark"},
    "phone": {"viewport": PHONE, "device_scale_factor": 2},
}
KEPT = {
    ("dashboard-30d", "light"): 1040,
    ("dashboard", "phone"): 1600,
    ("tokens", "light"): 800,
    ("token-issued", "light"): 800,
    ("project-upstream-keys", "light"): 800,
    ("live", "dark"): 800,
}
"""Of these the top, so many pixels high, is kept for docs/images/, as WebP."""
Act = Callable[[Page], object]
HELLO = [{"role": "user", "content": "Hello"}]
QUESTION = "Why is the sky blue? " * 12
CHAT = "chat/completions"
ASKED: tuple[tuple[str, str, dict[str, Any], dict[str, str]], ...] = (
    ("checkout-assistant", CHAT, {"model": "gpt-4o", "messages": HELLO, "stream": True}, {"chunks": "60"}),
    ("indexer", "embeddings", {"model": "text-embedding-3-small", "input": "a text to be found"}, {}),
    ("notebook", "responses", {"model": "gpt-4.1", "input": "Why is the sky blue?"}, {"delay-ms": "700"}),
    ("nightly-summary", CHAT, {"model": "gpt-4.1-mini", "messages": HELLO}, {"status": "500"}),
    ("house-model trial", CHAT, {"model": "house-model-7b", "messages": HELLO}, {}),
    ("load-test", CHAT, {"model": "gpt-4o", "messages": HELLO}, {}),
    ("recommendations", CHAT, {"model": "gpt-4o", "messages": HELLO}, {"chunk-delay-ms": "60"}),
    ("ci-4711", "fine_tuning/nothing", {}, {}),
    ("support-widget", CHAT, {"model": "gpt-4o-mini", "messages": HELLO, "stream": True}, {"chunks": "40"}),
)
"""By which token, where, what, and what upstream makes of it: for the page of live requests."""


def main(folder: Path, names: list[str]) -> None:
    """Pictures of these pages; of all, if none is named."""
    folder.mkdir(parents=True, exist_ok=True)
    call_command("setup", stdout=StringIO())
    with ExitStack() as stack:
        _, line = stack.enter_context(running("-m", "llm_proxy_site.fake_upstream", "--bind", "127.0.0.1:0"))
        team = Team(User.objects.get(is_superuser=True))
        team.work()
        environment = {"UPSTREAM_BASE_URL": line.split()[-1], "LEDGER_BATCH_SECONDS": "0.05"}
        serve = (str(MANAGE), "serve", "--bind", "127.0.0.1:0")
        server = running(*serve, environment=environment, stderr=subprocess.DEVNULL)
        _, line = stack.enter_context(server)
        photographer = Photographer(line.split()[-1], team, folder)
        for look in LOOKS:
            photographer.take(look, names)


class Photographer:
    def __init__(self, url: str, team: Team, folder: Path) -> None:
        self._url, self._team, self._folder = url, team, folder
        token = team.used[0].token
        record = UsageRecord.objects.filter(token=token, outcome="completed", status=200).first()
        assert record is not None
        CapturedBodiesFactory(id=record.pk, project=record.project, text=QUESTION)
        self._pages = pages_of(team.shop, token, record)
        """Paths by name."""
        self._acts: dict[str, Act] = {"live": self._ask, "request-bodies": _unfold}
        """What is done on a page before its picture is taken, by its name."""
        self._add("dashboard-30d", "dashboard", query="?over=30d")
        self._add("project-usage-30d", "project-usage", query="?over=30d")
        self._add("token-issued", "token-issue", self._issue)
        self._add("token-refused", "token-issue", pressing("button", "Issue token"))
        self._add("second-factor-begun", "second-factor", pressing("button", "Set it up"))
        self._add("requests-filters", "requests", _open_filters, query="?over=7d")
        self._add("audit-verified", "audit", pressing("button", "Verify the chain"))
        for tab in (
            "upstream",
            "lifetime",
            "limits",
            "budgets",
            "policy",
            "rules",
            "bodies",
            "upstream keys",
            "members",
        ):
            self._add(f"project-{tab.replace(' ', '-')}", "project", pressing("tab", tab))

    def _add(self, name: str, page: str, act: Act | None = None, query: str = "") -> None:
        self._pages[name] = self._pages[page] + query
        if act is not None:
            self._acts[name] = act

    def take(self, look: str, names: list[str]) -> None:
        with browsing(**LOOKS[look]) as browser:
            page = browser.open(self._url + reverse("admin:login"))
            self._picture(page, "sign-in", look)
            browser.sign_in(self._url, self._team.admin)
            for name, path in self._pages.items():
                if names and name not in names:
                    continue
                page.goto(self._url + path)
                if name in self._acts:
                    self._acts[name](page)
                self._picture(page, name, look)
            for complaint in browser.complaints:
                sys.stderr.write(f"{look}: {complaint}\n")

    def _picture(self, page: Page, name: str, look: str) -> None:
        page.screenshot(path=self._folder / f"{name}-{look}.png", full_page=True)
        if (name, look) in KEPT:
            self._keep(page, name, look)

    def _keep(self, page: Page, name: str, look: str) -> None:
        width = page.evaluate("innerWidth")
        clip = {"x": 0, "y": 0, "width": width, "height": KEPT[name, look], "scale": 1}
        options = {"format": "webp", "quality": 85, "clip": clip, "captureBeyondViewport": True}
        answer = page.context.new_cdp_session(page).send("Page.captureScreenshot", options)
        folder = self._folder / "kept"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}-{look}.webp").write_bytes(base64.b64decode(answer["data"]))

    def _ask(self, page: Page) -> None:
        page.locator("#live-state", has_text="Live").wait_for()
        for name, path, body, faults in ASKED:
            headers = {f"x-fake-{fault}": value for fault, value in faults.items()}
            headers["authorization"] = f"Bearer {self._team.plain[name]}"
            httpx.post(f"{self._url}/v1/{path}", json=body, headers=headers)
        page.locator(f"#live-rows tr:nth-child({len(ASKED)})").wait_for()

    def _issue(self, page: Page) -> None:
        page.get_by_label("Project").select_option(label="shop")
        page.get_by_label("Name").fill("build")
        page.get_by_role("button", name="Issue token").click()
        page.locator("#issued-token").wait_for()


def _open_filters(page: Page) -> None:
    """They open by a button on phones, and are open elsewhere."""
    button = page.locator(".filters-button")
    if button.is_visible():
        button.click()


def _unfold(page: Page) -> None:
    page.locator(".captured summary").first.click()


def pressing(role: Literal["button", "link", "tab"], name: str) -> Act:
    def press(page: Page) -> None:
        page.get_by_role(role, name=name, exact=True).click()
        page.wait_for_load_state()

    return press


if __name__ == "__main__":
    parser = ArgumentParser(prog="python -m tests.screenshots", description=__doc__.partition(": ")[2])
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where they go, as NAME-LOOK.png")
    parser.add_argument("pages", nargs="*", metavar="PAGE", help="such as tokens, project-limits; none: all")
    options = parser.parse_args()
    main(options.folder, options.pages)
