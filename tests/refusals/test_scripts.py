"""What strangers have put into names, paths and models is shown as text, by every page; in CSV files too."""

import csv
from io import StringIO
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from playwright.sync_api import expect

from audit import trail
from audit.models import AuditEvent
from audit.spreadsheet import harmless
from tests.browser import Browser
from tests.e2e.test_live_feed import ask
from tests.factories import UsageRecordFactory, UserFactory, issue_token
from tests.live import LiveProxy
from tests.refusals.answers import text_of
from tests.refusals.scripts import ATTACK, fill, run_in
from tests.refusals.urls import urls
from tests.refusals.world import make_world

ESCAPED = "&lt;img src=x"
FORMULAS = ["=cmd|' /C calc'!A0", "+1", "-1+cmd", "@SUM(1)", "\t=1", "\r=1", "\n=1", "  =1", "\uff1d1"]


def test_the_reader_finds_what_runs() -> None:
    for text in (
        ATTACK,
        "<p onclick=x>",
        "<a href=' javascript:x'>".replace(" j", "j"),
        "<script>x</script>",
    ):
        assert run_in(f'<p title="{text}">{text}</p>'), text
    assert run_in('<script src="x.js"></script><a href="/x">') == []


@pytest.mark.django_db
def test_no_page_has_what_would_run() -> None:
    world = make_world()
    fill(world)
    client = Client()
    client.force_login(UserFactory(superuser=True, username=f"ada{ATTACK}", first_name=ATTACK))
    shown = set()
    for url in urls(world):
        answer = client.get(url.path)
        html = text_of(answer)
        if answer.headers["Content-Type"].startswith("text/html"):
            assert run_in(html) == [], url
            if ESCAPED in html:
                shown.add(url.name)
    models = {f"{model._meta.app_label}_{model._meta.model_name}" for model in admin.site._registry}
    lists = {f"admin:{model}_changelist" for model in models}
    changes = {f"admin:{model}_change" for model in models}
    usage = {"project_usage", "token_usage", "revoke_tokens", "admin/"}
    assert lists | changes | usage <= shown, (lists | changes | usage) - shown


@pytest.mark.django_db
def test_what_is_typed_comes_back_as_text() -> None:
    """Searches, filters, forms with errors, and the messages of acts."""
    world = make_world()
    fill(world)
    client = Client()
    client.force_login(UserFactory(superuser=True))
    words = dict.fromkeys(("over", "state", "near", "shadow", "preset", "project", "model", "token"), ATTACK)
    names = dict.fromkeys(("name", "username", "model", "issuer", "claims", "rules", "base_url"), ATTACK)
    for url in urls(world):
        if url.name.endswith("_changelist"):
            check(client.get(url.path, {"q": ATTACK}))
        if url.name.endswith(("_changelist", "_usage", "_add")) or url.name in ("admin/", "live"):
            check(client.get(url.path, words))
        if url.name.endswith(("_add", "_change")):
            check(client.post(url.path, names))
        if url.name.endswith("_change"):
            check(client.post(url.path, {"_deactivate": "x", "_revoke": "x"}, follow=True))
    check(client.post(reverse("admin:login"), {"username": ATTACK, "password": ATTACK, "next": ATTACK}))


def check(answer: Any) -> None:
    assert answer.status_code < 500
    assert run_in(answer.content.decode()) == []


@pytest.mark.parametrize("text", FORMULAS)
def test_no_text_is_a_formula(text: str) -> None:
    assert harmless(text) == f"'{text}"


@pytest.mark.parametrize("text", ["gpt-4o", "a=1", "1-2", "", " x"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert harmless(text) == text


@pytest.mark.django_db
def test_no_cell_of_an_export_is_a_formula() -> None:
    formula = "=1+1"
    record = UsageRecordFactory(
        model=formula, path=formula, endpoint=formula, error_code=formula, method="=x", service_tier="@x"
    )
    record.token.name = formula
    trail.record(formula, record.token, actor=formula, details={formula: formula})
    AuditEvent.objects.update(subject_type=formula, subject_id=formula, address=formula)
    client = Client()
    client.force_login(UserFactory(superuser=True))
    for path in (
        reverse("admin:usage_usagerecord_export"),
        reverse("admin:audit_auditevent_export", args=["csv"]),
    ):
        rows = list(csv.reader(StringIO(text_of(client.get(path)))))
        assert len(rows) > 1
        cells = [cell for row in rows for cell in row]
        assert f"'{formula}" in cells
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]


@pytest.mark.browser
def test_nothing_runs_in_a_browser(live: LiveProxy, browser: Browser) -> None:
    """In the main pages. The policy would stop it, and say so: but there is nothing to stop."""
    world = make_world(beside_a_server=True)
    fill(world)
    browser.sign_in(live.url, UserFactory(superuser=True, username=f"ada{ATTACK}"))
    rows = world.rows
    paths = [
        reverse("admin:index"),
        reverse("admin:projects_project_change", args=[world.project.pk]),
        reverse("admin:tokens_accesstoken_changelist"),
        reverse("admin:tokens_accesstoken_change", args=[rows["tokens.accesstoken"].pk]),
        reverse("admin:usage_usagerecord_change", args=[rows["usage.usagerecord"].pk]),
        reverse("admin:audit_auditevent_changelist"),
    ]
    for path in paths:
        page = browser.open(live.url + path)
        assert "<img src=x" in page.inner_text("body"), path
        assert page.locator("img[src=x], [onerror]").count() == 0, path
        assert page.title() != "run"
        page.close()
    assert browser.complaints == []


@pytest.mark.browser
def test_nothing_runs_in_the_page_of_live_requests(live: LiveProxy, browser: Browser) -> None:
    token, plain = issue_token(name=ATTACK)
    browser.sign_in(live.url, UserFactory(superuser=True))
    page = browser.open(f"{live.url}/admin/live/?token={token.id}&model=%22%3E%3Cimg%20src%3Dx%3E")
    expect(page.locator("#live-state")).to_have_text("Live", timeout=15_000)
    assert page.locator("img[src=x], [onerror]").count() == 0
    page.get_by_label("Model", exact=True).fill("")
    expect(page).to_have_url(f"{live.url}/admin/live/?token={token.id}")
    expect(page.locator("#live-state")).to_have_text("Live", timeout=15_000)
    ask(live, plain, model=ATTACK)
    ask(live, plain, path="/nothing/<img src=x onerror=run()>")
    expect(page.locator("#live-rows tr")).to_have_count(2, timeout=15_000)
    assert "<img src=x" in page.inner_text("#live-rows")
    assert page.locator("img[src=x], [onerror]").count() == 0
    assert browser.complaints == []
