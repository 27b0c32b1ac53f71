"""What axe-core finds in a page that keeps people with screen readers, or without a mouse, from using it."""

from collections.abc import Sequence
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

STANDARDS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
GRAVE = ("serious", "critical")
WITHOUT_MOTION = """
const sheet = new CSSStyleSheet();
sheet.replaceSync("* { transition: none !important }"); // a colour on its way to another is none of ours
document.adoptedStyleSheets.push(sheet);
"""


def watch(page: Page) -> None:
    """The pages that it shows from now on. The script comes by the debugger, which no Content-Security-Policy
    binds.
    """
    page.add_init_script(AXE_SCRIPT + WITHOUT_MOTION)


def serious_problems(page: Page, rules: Sequence[str] = STANDARDS, *, within: str = "html") -> list[str]:
    """By these rules or groups of them, within an element. Each line: a rule, and what breaks it."""
    options: dict[str, Any] = {
        "resultTypes": ["violations"],
        "runOnly": list(rules),
        "preload": False,  # of style sheets, into others that our policy forbids
    }
    results = page.evaluate("([within, options]) => axe.run(within, options)", [within, options])
    return [
        f"{violation['id']}: {node['html'][:200]} ({node['failureSummary']})"
        for violation in results["violations"]
        if violation["impact"] in GRAVE
        for node in violation["nodes"]
    ]
