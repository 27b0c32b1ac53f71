"""A real browser: Debian's Chromium, driven by Playwright."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import BrowserContext, Page, ViewportSize, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
WIDE: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 390, "height": 844}


class Browser:
    """Tabs of one browser; what they complained of is in `complaints`, violations of our policy among it."""

    def __init__(self, context: BrowserContext) -> None:
        self.complaints: list[str] = []
        self._context = context

    def sign_in(self, url: str, user: User) -> None:
        """By a session on the database that the server shares."""
        client = Client()
        client.force_login(user)
        (session,) = client.cookies.values()
        self._context.add_cookies([{"name": session.key, "value": session.value, "url": url}])

    def sign_out(self) -> None:
        self._context.clear_cookies()

    def open(self, url: str) -> Page:
        page = self._context.new_page()
        page.on("console", lambda message: self._hear(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(url)
        return page

    def _hear(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)


@contextmanager
def browsing(**options: Any) -> Iterator[Browser]:
    """`options`: of the context, such as `viewport` and `color_scheme`."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        context = chromium.new_context(**options)
        yield Browser(context)
        context.close()
        chromium.close()
