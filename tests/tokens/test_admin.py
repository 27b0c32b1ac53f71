import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from pytest_django import Settings

from audit.models import AuditEvent
from projects.access import VIEWER
from projects.lifetime import ttl_text
from projects.limits import BUDGETS, LIMITS
from projects.models import Project
from projects.money import usd_text
from tests.factories import AccessTokenFactory, ProjectFactory, UserFactory, issue_token, stored_text
from tokens import lifecycle
from tokens.lifetime import NEVER
from tokens.models import AccessToken

pytestmark = pytest.mark.django_db
LIST = reverse("admin:tokens_accesstoken_changelist")
ADD = reverse("admin:tokens_accesstoken_add")
PLAIN = re.compile(r"sk-wt-[0-9A-Za-z]{55}")


@pytest.fixture
def ada(client: Client) -> Client:
    client.force_login(UserFactory(superuser=True, username="ada"))
    return client


def page(token: AccessToken, view: str = "change") -> str:
    return reverse(f"admin:tokens_accesstoken_{view}", args=[token.pk])


def issue_form(project: Project, **values: Any) -> dict[str, Any]:
    return {"project": project.pk, "name": "", "lifetime": "24h"} | values


def change_form(token: AccessToken, **values: Any) -> dict[str, Any]:
    """What a browser would send from the change page."""
    date, time = token.expires_at.strftime("%Y-%m-%d %H:%M:%S").split() if token.expires_at else ("", "")
    form = {"name": token.name, "expires_at_0": date, "expires_at_1": time}
    form["idle_ttl"] = ttl_text(token.idle_ttl) if token.idle_ttl else ""
    form |= {field: getattr(token, field) or "" for field in LIMITS}
    form |= {field: usd_text(getattr(token, field)) if getattr(token, field) else "" for field in BUDGETS}
    return form | values


def errors(response: Any) -> list[str]:
    return list(response.context["adminform"].errors)


def last_event() -> tuple[str, str]:
    event = AuditEvent.objects.latest("id")
    return event.action, event.actor


def test_list_shows_each_token_without_its_secret(ada: Client) -> None:
    token, plain = issue_token(name="laptop", max_requests=5, request_count=2)
    html = ada.get(LIST).content.decode()
    for shown in ("laptop", token.display, token.project.name, "active", "2 / 5"):
        assert shown in html
    assert plain not in html
    assert token.digest not in html


@pytest.mark.parametrize("part", ["name", "id", "last_four"])
def test_list_is_searched_by_name_id_and_last_four(ada: Client, part: str) -> None:
    token, other = AccessTokenFactory(name="laptop"), AccessTokenFactory(name="server")
    html = ada.get(LIST, {"q": str(getattr(token, part))}).content.decode()
    assert token.display in html
    assert other.display not in html


def test_issuing_shows_the_token_with_all_that_is_needed_to_use_it(ada: Client) -> None:
    project = ProjectFactory()
    response = ada.post(ADD, issue_form(project, name="laptop", lifetime="7d", max_requests=10))
    text = unescape(response.content.decode())
    plain = PLAIN.findall(text)[0]
    token = AccessToken.objects.of(plain).get()
    assert response.status_code == 200
    assert "no-store" in response.headers["cache-control"]
    assert "it will not be shown again" in text
    assert f'curl http://testserver/v1/models -H "Authorization: Bearer {plain}"' in text
    assert f"OPENAI_BASE_URL=http://testserver/v1\nOPENAI_API_KEY={plain}" in text
    assert (token.project, token.name, token.max_requests) == (project, "laptop", 10)
    assert token.expires_at == pytest.approx(timezone.now() + timedelta(days=7), abs=timedelta(minutes=1))
    assert last_event() == ("token.issued", "user:ada")
    assert LogEntry.objects.get().object_id == str(token.pk)


def test_plain_token_is_in_the_answer_to_its_issue_and_nowhere_else(ada: Client) -> None:
    issued = ada.post(ADD, issue_form(ProjectFactory(), name="laptop"))
    plain = PLAIN.findall(issued.content.decode())[0]
    token = AccessToken.objects.get()
    pages = [
        *(ada.get(url) for url in (LIST, ADD, page(token), page(token, "history"))),
        ada.post(page(token), change_form(token, name="tablet"), follow=True),
        ada.post(page(token), {"_revoke": "Revoke"}, follow=True),
    ]
    assert "messages" not in issued.cookies
    stored = stored_text()
    assert token.digest in stored
    assert plain not in stored + str(issued.headers) + str(ada.cookies)
    for response in pages:
        assert response.status_code == 200
        assert plain not in response.content.decode()


def test_token_is_issued_with_the_limits_and_budgets_that_are_typed(ada: Client) -> None:
    limits = {field: str(number) for number, field in enumerate(LIMITS, start=1)}
    budgets = {field: f"{number}.5" for number, field in enumerate(BUDGETS, start=1)}
    html = ada.post(ADD, issue_form(ProjectFactory(), idle_ttl="7d", **limits, **budgets)).content.decode()
    token = AccessToken.objects.get()
    assert {field: str(getattr(token, field)) for field in LIMITS} == limits
    assert [getattr(token, field) for field in BUDGETS] == [1_500_000, 2_500_000, 3_500_000, 4_500_000]
    assert token.idle_ttl == timedelta(days=7)
    assert "Dies when it is unused for 7d." in html


@pytest.mark.parametrize("idle_ttl", ["", "never"])
def test_token_is_issued_without_an_idle_lifetime(ada: Client, idle_ttl: str) -> None:
    ada.post(ADD, issue_form(ProjectFactory(), idle_ttl=idle_ttl))
    assert AccessToken.objects.get().idle_ttl is None


def test_lifetime_left_empty_is_the_projects_default(ada: Client, settings: Settings) -> None:
    settings.TOKEN_DEFAULT_TTL = timedelta(minutes=15)
    ada.post(ADD, issue_form(ProjectFactory(default_ttl=timedelta(hours=3)), lifetime=""))
    ada.post(ADD, issue_form(ProjectFactory(), lifetime=""))
    assert {token.ttl for token in AccessToken.objects.all()} == {timedelta(hours=3), timedelta(minutes=15)}


@pytest.mark.parametrize(
    ("lifetime", "problem"),
    [
        ("8d", "The project alpha permits a lifetime of at most 7d."),
        ("never", "The project alpha does not permit tokens that never expire."),
    ],
)
def test_lifetime_that_the_project_does_not_permit_is_a_field_error(
    ada: Client, lifetime: str, problem: str
) -> None:
    project = ProjectFactory(name="alpha", longest_ttl=timedelta(days=7))
    response = ada.post(ADD, issue_form(project, lifetime=lifetime))
    assert response.context["adminform"].errors == {"lifetime": [problem]}
    assert not AccessToken.objects.exists()


def test_issue_form_offers_active_projects_only(ada: Client) -> None:
    ProjectFactory(name="alpha")
    ProjectFactory(name="beta", is_active=False)
    html = ada.get(ADD).content.decode()
    assert "alpha" in html
    assert "beta" not in html


@pytest.mark.parametrize("lifetime", ["soon", "0h", "366d", "99999999999d"])
def test_bad_lifetime_is_a_field_error(ada: Client, lifetime: str) -> None:
    response = ada.post(ADD, issue_form(ProjectFactory(), lifetime=lifetime))
    assert errors(response) == ["lifetime"]
    assert not AccessToken.objects.exists()


@pytest.mark.parametrize("cap", ["0", "-1", "ten", str(2**63)])
def test_bad_cap_is_a_field_error(ada: Client, cap: str) -> None:
    assert errors(ada.post(ADD, issue_form(ProjectFactory(), max_requests=cap))) == ["max_requests"]


@pytest.mark.parametrize("budget", ["0", "-1", "five", "0.0000001", "99999999999999"])
def test_bad_budget_is_a_field_error(ada: Client, budget: str) -> None:
    response = ada.post(ADD, issue_form(ProjectFactory(), total_budget_microusd=budget))
    assert errors(response) == ["total_budget_microusd"]


def test_what_is_typed_comes_back_as_it_was_typed_beside_an_error(ada: Client) -> None:
    html = ada.post(
        ADD, issue_form(ProjectFactory(), lifetime="soon", daily_budget_microusd="12.5", idle_ttl="7d")
    ).content.decode()
    for typed in ("soon", "12.5", "7d"):
        assert f'value="{typed}"' in html


def test_no_token_is_issued_for_an_inactive_project(ada: Client) -> None:
    assert errors(ada.post(ADD, issue_form(ProjectFactory(is_active=False)))) == ["project"]
    assert not AccessToken.objects.exists()


def test_token_that_never_expires_can_be_issued(ada: Client) -> None:
    ada.post(ADD, issue_form(ProjectFactory(permits_never=True), lifetime="never"))
    assert AccessToken.objects.get().expires_at is None


def test_issued_page_escapes_names(ada: Client) -> None:
    name = "<script>alert(1)</script>"
    html = ada.post(ADD, issue_form(ProjectFactory(name=name), name=name)).content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert name not in html


def test_editing_is_audited_with_before_and_after(ada: Client) -> None:
    token = AccessTokenFactory(name="laptop", max_requests=5, idle_ttl=timedelta(days=7), ttl=NEVER)
    expires_at = (timezone.now() + timedelta(days=7)).replace(microsecond=0)
    edit = {"name": "tablet", "max_requests": "", "idle_ttl": "12h", "daily_budget_microusd": "12.5"}
    ada.post(page(token), change_form(token, **edit, **typed(expires_at)))
    token.refresh_from_db()
    assert (token.name, token.max_requests, token.daily_budget_microusd) == ("tablet", None, 12_500_000)
    assert (token.expires_at, token.idle_ttl) == (expires_at, timedelta(hours=12))
    assert last_event() == ("token.changed", "user:ada")
    assert AuditEvent.objects.latest("id").details == {
        "name": {"before": "laptop", "after": "tablet"},
        "expires_at": {"before": None, "after": expires_at.isoformat()},
        "idle_ttl": {"before": "7d", "after": "12h"},
        "max_requests": {"before": 5, "after": None},
        "daily_budget_microusd": {"before": None, "after": 12_500_000},
    }


def typed(instant: datetime | None) -> dict[str, str]:
    if instant is None:
        return {"expires_at_0": "", "expires_at_1": ""}
    return {"expires_at_0": f"{instant:%Y-%m-%d}", "expires_at_1": f"{instant:%H:%M:%S}"}


@pytest.mark.parametrize(
    ("days", "problem"),
    [
        (8, "The project alpha permits a lifetime of at most 7d."),
        (None, "The project alpha does not permit tokens that never expire."),
    ],
)
def test_expiry_is_edited_within_what_the_project_permits(
    ada: Client, days: int | None, problem: str
) -> None:
    token = AccessTokenFactory(project=ProjectFactory(name="alpha", longest_ttl=timedelta(days=7)))
    expires_at = None if days is None else timezone.now() + timedelta(days=days)
    response = ada.post(page(token), change_form(token, **typed(expires_at)))
    assert response.context["adminform"].errors == {"expires_at": [problem]}
    assert AccessToken.objects.get().expires_at == token.expires_at


@pytest.mark.parametrize("expires_at", [None, datetime(2040, 1, 2, 3, 4, 5, tzinfo=UTC)])
def test_expiry_that_the_project_would_not_permit_any_more_may_stay(
    ada: Client, expires_at: datetime | None
) -> None:
    token = AccessTokenFactory(expires_at=expires_at)
    ada.post(page(token), change_form(token, name="tablet"))
    assert (AccessToken.objects.get().name, AccessToken.objects.get().expires_at) == ("tablet", expires_at)


def test_expiry_can_be_edited_to_the_past(ada: Client) -> None:
    token = AccessTokenFactory()
    ada.post(page(token), change_form(token, **typed(datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC))))
    assert AccessToken.objects.get().state(timezone.now()) == "expired"


@pytest.mark.parametrize("field", ["total_budget_microusd", "idle_ttl"])
def test_bad_edit_is_a_field_error(ada: Client, field: str) -> None:
    token = AccessTokenFactory()
    assert errors(ada.post(page(token), change_form(token, **{field: "nonsense"}))) == [field]


def test_page_shows_state_lifetimes_counters_and_the_grace_of_a_rotation(ada: Client) -> None:
    token = AccessTokenFactory(
        ttl=timedelta(days=3), idle_ttl=timedelta(hours=5), request_count=2, daily_budget_microusd=12_500_000
    )
    lifecycle.rotate(token, grace=timedelta(hours=1), actor="user:bob", now=timezone.now())
    html = ada.get(page(token)).content.decode()
    assert f"works until {date_format(token.previous_digest_dies_at, 'DATETIME_FORMAT')}" in html
    assert date_format(token.idle_expires_at, "DATETIME_FORMAT") in html
    for shown in ("active", ">3d<", 'value="5h"', "2 / ∞", 'value="12.50"', token.display):
        assert shown in html
    assert token.digest not in html
    assert token.previous_digest not in html


def test_page_says_nothing_of_a_rotation_whose_grace_has_ended(ada: Client) -> None:
    token = AccessTokenFactory(previous_digest="a" * 64, previous_digest_dies_at=timezone.now())
    assert "works until" not in ada.get(page(token)).content.decode()


def test_editing_one_field_leaves_the_others_as_they_are(ada: Client) -> None:
    token = AccessTokenFactory(expires_at=datetime(2040, 1, 2, 3, 4, 5, 678901, tzinfo=UTC))
    ada.post(page(token), change_form(token, name="tablet", is_active="", request_count=99))
    after = AccessToken.objects.get()
    assert after.name == "tablet"
    assert after.updated_at > token.updated_at
    assert (after.expires_at, after.is_active, after.request_count) == (token.expires_at, True, 0)


def test_saving_without_an_edit_leaves_no_event(ada: Client) -> None:
    token = AccessTokenFactory(idle_ttl=timedelta(days=1), max_requests=5, daily_budget_microusd=12_500_000)
    assert ada.post(page(token), change_form(token)).status_code == 302
    assert last_event()[0] == "token.issued"


def test_cap_cannot_be_edited_to_nothing_at_all(ada: Client) -> None:
    token = AccessTokenFactory()
    assert errors(ada.post(page(token), change_form(token, max_requests="0"))) == ["max_requests"]


def test_selected_tokens_are_revoked_by_the_action(ada: Client) -> None:
    chosen, other = AccessTokenFactory(), AccessTokenFactory()
    response = ada.post(LIST, {"action": "revoke_selected", "_selected_action": [chosen.pk]}, follow=True)
    assert "Revoked: 1." in response.content.decode()
    assert AccessToken.objects.get(pk=chosen.pk).revoked_at is not None
    assert AccessToken.objects.get(pk=other.pk).revoked_at is None
    assert last_event() == ("token.revoked", "user:ada")


def test_token_is_revoked_by_the_button_whatever_the_form_holds(ada: Client) -> None:
    token = AccessTokenFactory()
    assert 'name="_revoke"' in ada.get(page(token)).content.decode()
    ada.post(page(token), change_form(token, max_requests="nonsense", _revoke="Revoke"))
    token.refresh_from_db()
    assert (token.is_active, token.revoked_at is None) == (False, False)
    assert last_event() == ("token.revoked", "user:ada")


def test_revoked_token_can_only_be_read(ada: Client) -> None:
    token = AccessTokenFactory(name="laptop", is_active=False, revoked_at=timezone.now())
    html = ada.get(page(token)).content.decode()
    assert "laptop" in html
    assert 'type="submit" value="Save"' not in html
    assert 'name="_revoke"' not in html
    assert ada.post(page(token), change_form(token, name="tablet")).status_code == 403


def test_revoked_token_is_read_as_the_form_would_write_it(ada: Client) -> None:
    token = AccessTokenFactory(
        is_active=False,
        revoked_at=timezone.now(),
        idle_ttl=timedelta(days=7),
        max_requests_per_minute=60,
        daily_budget_microusd=12_500_000,
    )
    html = ada.get(page(token)).content.decode()
    for shown in ("Idle lifetime", ">7d<", ">60<", "Daily budget", ">12.50<"):
        assert shown in html
    assert not any(hidden in html for hidden in ("12500000", "millionths", ">None<"))


@pytest.mark.parametrize("revoked_at", [timezone.now(), None], ids=["revoked", "deactivated"])
def test_dead_token_is_reactivated_by_the_button(ada: Client, revoked_at: datetime | None) -> None:
    token = AccessTokenFactory(is_active=False, revoked_at=revoked_at, max_requests=5, request_count=2)
    html = ada.get(page(token)).content.decode()
    assert 'name="_reactivate"' in html
    assert ('name="_revoke"' in html) is (revoked_at is None)
    response = ada.post(page(token), {"_reactivate": "Reactivate"}, follow=True)
    assert "Reactivated: 1." in response.content.decode()
    token.refresh_from_db()
    assert (token.is_active, token.revoked_at) == (True, None)
    assert (token.max_requests, token.request_count) == (5, 2)
    assert last_event() == ("token.reactivated", "user:ada")
    assert 'name="_reactivate"' not in response.content.decode()


def test_selected_tokens_are_reactivated_by_the_action(ada: Client) -> None:
    chosen, other = (AccessTokenFactory(is_active=False, revoked_at=timezone.now()) for _ in range(2))
    alive = AccessTokenFactory()
    selected = {"action": "reactivate_selected", "_selected_action": [chosen.pk, alive.pk]}
    response = ada.post(LIST, selected, follow=True)
    assert "Reactivated: 1." in response.content.decode()
    assert AccessToken.objects.get(pk=chosen.pk).is_active
    assert not AccessToken.objects.get(pk=other.pk).is_active
    assert AuditEvent.objects.get(action="token.reactivated").actor == "user:ada"


def test_revoking_needs_a_csrf_token() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(UserFactory(superuser=True))
    token = AccessTokenFactory()
    assert client.post(page(token), {"_revoke": "Revoke"}).status_code == 403
    assert client.post(ADD, issue_form(token.project)).status_code == 403
    assert AccessToken.objects.get().revoked_at is None


def test_revoking_a_token_that_is_not_there_leads_back(ada: Client) -> None:
    missing = reverse("admin:tokens_accesstoken_change", args=["0190c8b0-0000-7000-8000-000000000000"])
    response = ada.post(missing, {"_revoke": "Revoke"}, follow=True)
    assert response.status_code == 200
    assert "Perhaps it was deleted?" in response.content.decode()


def test_tokens_are_never_deleted(ada: Client) -> None:
    token = AccessTokenFactory()
    assert ada.post(page(token, "delete"), {"post": "yes"}).status_code == 403
    ada.post(LIST, {"action": "delete_selected", "_selected_action": [token.pk], "post": "yes"})
    assert AccessToken.objects.filter(pk=token.pk).exists()


@pytest.mark.parametrize("url", [LIST, ADD])
def test_strangers_are_sent_to_sign_in(client: Client, url: str) -> None:
    assert client.get(url).headers["location"] == f"{reverse('admin:login')}?next={url}"


def test_users_who_are_not_staff_are_refused(client: Client) -> None:
    client.force_login(UserFactory())
    response = client.post(ADD, issue_form(ProjectFactory()), follow=True)
    assert "not authorized to access this page" in response.content.decode()
    assert not AccessToken.objects.exists()


def test_who_may_only_view_can_neither_issue_nor_revoke_nor_reactivate(client: Client) -> None:
    token = AccessTokenFactory()
    client.force_login(UserFactory(role=VIEWER, projects=[token.project]))
    assert client.get(page(token)).status_code == 200
    assert client.get(ADD).status_code == 403
    assert client.post(ADD, issue_form(token.project)).status_code == 403
    assert client.post(page(token), {"_revoke": "Revoke"}).status_code == 403
    client.post(LIST, {"action": "revoke_selected", "_selected_action": [token.pk]})
    assert AccessToken.objects.get().revoked_at is None
    AccessToken.objects.update(is_active=False)
    assert 'name="_reactivate"' not in client.get(page(token)).content.decode()
    assert client.post(page(token), {"_reactivate": "Reactivate"}).status_code == 403
    client.post(LIST, {"action": "reactivate_selected", "_selected_action": [token.pk]})
    assert not AccessToken.objects.get().is_active


def test_new_expiry_wakes_a_token_that_a_cleanup_has_deactivated(ada: Client) -> None:
    token = AccessTokenFactory.create(expires_at=timezone.now() - timedelta(days=1), is_active=False)
    expires_at = (timezone.now() + timedelta(days=7)).replace(microsecond=0)
    ada.post(page(token), change_form(token, **typed(expires_at)))
    token.refresh_from_db()
    assert token.state(timezone.now()) == "active"
    assert token.renewed_at is not None


def test_each_of_many_tokens_is_revoked_at_its_own_instant(ada: Client) -> None:
    """The change poller looks back 30 s: what is written later than it says would never be seen."""
    tokens = AccessTokenFactory.create_batch(3)
    data = {"action": "revoke_selected", "_selected_action": [str(token.pk) for token in tokens]}
    ada.post(reverse("admin:tokens_accesstoken_changelist"), data)
    instants = AccessToken.objects.exclude(revoked_at=None).values_list("updated_at", flat=True)
    assert len(set(instants)) == 3
