from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from audit.models import AuditEvent
from projects.limits import BUDGETS, LIMITS
from projects.models import Project, UpstreamKey
from tests.factories import UPSTREAM_KEY, AccessTokenFactory, ProjectFactory, UserFactory, stored_text

pytestmark = pytest.mark.django_db
LIST = reverse("admin:projects_project_changelist")
ADD = reverse("admin:projects_project_add")
POLICY = {
    "death_policy": "cut",
    "disconnect_policy": "cancel",
    "drain_seconds": "60",
    "unpriced_policy": "allow",
    "capture_policy": "off",
    "capture_sample": "1.0",
    "capture_max_bytes": "65536",
    "capture_retention": "7d",
    "capture_redacted": "",
    "capture_redacts_addresses": "on",
}
"""What a browser sends for the policy of a project that has none of its own."""
SECOND_KEY = "sk-second-upstream-key-9876MNOP"


@pytest.fixture
def ada(client: Client) -> Client:
    client.force_login(UserFactory(superuser=True, username="ada"))
    return client


def page(project: Project, view: str = "change") -> str:
    return reverse(f"admin:projects_project_{view}", args=[project.pk])


def add_form(**values: Any) -> dict[str, Any]:
    return {"name": "alpha", "base_url": "", "upstream_key": UPSTREAM_KEY, **POLICY} | values


def change_form(project: Project, **values: Any) -> dict[str, Any]:
    """What a browser would send from the change page."""
    keys = list(project.upstream_keys.all())
    form: dict[str, Any] = {"name": project.name, "base_url": project.base_url, "upstream_key": ""}
    form |= POLICY | {field: getattr(project, field) or "" for field in LIMITS}
    form |= {"memberships-TOTAL_FORMS": 0, "memberships-INITIAL_FORMS": 0}
    form |= {"upstream_keys-TOTAL_FORMS": len(keys), "upstream_keys-INITIAL_FORMS": len(keys)}
    for number, key in enumerate(keys):
        form[f"upstream_keys-{number}-id"] = key.pk
        form[f"upstream_keys-{number}-project"] = project.pk
        form |= {f"upstream_keys-{number}-name": key.name, f"upstream_keys-{number}-weight": key.weight}
        form |= {f"upstream_keys-{number}-is_active": "on"} if key.is_active else {}
    return form | values


def events() -> list[tuple[str, str]]:
    return [(event.action, event.actor) for event in AuditEvent.objects.order_by("id")]


def test_list_shows_each_project_with_its_upstream_and_its_tokens(ada: Client) -> None:
    project = ProjectFactory(name="Zürich", base_url="http://upstream.test/v1")
    AccessTokenFactory(project=project)
    AccessTokenFactory(project=project)
    html = ada.get(LIST).content.decode()
    assert "Zürich" in html
    assert "http://upstream.test/v1" in html
    assert '<td class="field-tokens">2</td>' in html


def test_list_is_searched_by_name_and_filtered_by_state(ada: Client) -> None:
    ProjectFactory(name="alpha")
    ProjectFactory(name="beta", is_active=False)
    html = ada.get(LIST, {"q": "alp", "is_active__exact": "1"}).content.decode()
    assert "alpha" in html
    assert "beta" not in html


def test_adding_a_project_stores_its_key_encrypted(ada: Client) -> None:
    response = ada.post(ADD, add_form(base_url="http://upstream.test/v1/"), follow=True)
    project = Project.objects.get()
    assert response.redirect_chain == [(LIST, 302)]
    assert (project.name, project.base_url) == ("alpha", "http://upstream.test/v1")
    assert UpstreamKey.objects.get(project=project).reveal() == UPSTREAM_KEY
    assert events() == [("project.created", "user:ada"), ("upstream_key.added", "user:ada")]
    assert LogEntry.objects.get().object_id == str(project.pk)


def test_a_new_project_needs_a_name_and_a_key_and_all_else_stands_in_the_form(ada: Client) -> None:
    fields = ada.get(ADD).context["adminform"].form
    there = {field.html_name: field.value() for field in fields if field.value() not in (None, False)}
    ada.post(ADD, there | {"name": "alpha", "upstream_key": UPSTREAM_KEY})
    assert Project.objects.get().capture_retention == timedelta(days=7)
    assert {name: there.get(name, "") for name in POLICY} == {
        **POLICY,
        "drain_seconds": 60,
        "capture_sample": 1.0,
        "capture_max_bytes": 65536,
        "capture_redacts_addresses": True,
    }


def test_upstream_key_is_in_no_response_and_in_no_row(ada: Client) -> None:
    added = ada.post(ADD, add_form(), follow=True)
    project = Project.objects.get()
    changed = ada.post(page(project), change_form(project, upstream_key=SECOND_KEY), follow=True)
    pages = [added, changed, *(ada.get(url) for url in (LIST, ADD, page(project), page(project, "history")))]
    stored = stored_text()
    everything = stored + "".join(response.content.decode() for response in pages)
    assert project.upstream_keys.count() == 2
    assert all(key.ciphertext in stored for key in project.upstream_keys.all())
    assert UPSTREAM_KEY not in everything
    assert SECOND_KEY not in everything


def test_upstream_key_is_not_rendered_again_after_an_error_elsewhere(ada: Client) -> None:
    response = ada.post(ADD, add_form(name=""))
    assert response.context["errors"]
    assert UPSTREAM_KEY not in response.content.decode()
    assert not Project.objects.exists()


def test_refused_upstream_key_is_not_rendered_again(ada: Client) -> None:
    response = ada.post(ADD, add_form(upstream_key="two words"))
    assert (
        "An upstream key is 8 to 512 printable ASCII characters, without spaces." in response.content.decode()
    )
    assert "two words" not in response.content.decode()
    assert "two words" not in stored_text()


def test_upstream_key_is_required_for_a_new_project(ada: Client) -> None:
    response = ada.post(ADD, add_form(upstream_key=""))
    assert response.context["adminform"].errors == {"upstream_key": ["This field is required."]}


def test_browsers_are_told_not_to_fill_in_the_upstream_key(ada: Client) -> None:
    field = ada.get(ADD).context["adminform"].form["upstream_key"].as_widget()
    assert 'type="password"' in field
    assert 'autocomplete="new-password"' in field


def test_base_url_that_is_no_url_is_a_field_error(ada: Client) -> None:
    response = ada.post(ADD, add_form(base_url="ftp://x"))
    assert list(response.context["adminform"].errors) == ["base_url"]


def test_second_project_of_a_name_is_refused(ada: Client) -> None:
    ProjectFactory(name="alpha")
    response = ada.post(ADD, add_form(name=" alpha "))
    assert list(response.context["adminform"].errors) == ["name"]


def test_editing_is_audited_with_before_and_after(ada: Client) -> None:
    project = ProjectFactory(name="alpha", max_requests=5, longest_ttl=timedelta(days=30))
    edit = {"base_url": "http://upstream.test/v1/", "max_requests": "", "daily_budget_microusd": "12.50"}
    edit |= {"longest_ttl": "7d", "permits_renewal": "on", "death_policy": "finish"}
    ada.post(page(project), change_form(project, **edit))
    event = AuditEvent.objects.get()
    project.refresh_from_db()
    assert project.base_url == "http://upstream.test/v1"
    assert (event.action, event.actor, event.details) == (
        "project.changed",
        "user:ada",
        {
            "base_url": {"before": "", "after": "http://upstream.test/v1"},
            "longest_ttl": {"before": "30d", "after": "7d"},
            "permits_renewal": {"before": False, "after": True},
            "death_policy": {"before": "cut", "after": "finish"},
            "max_requests": {"before": 5, "after": None},
            "daily_budget_microusd": {"before": None, "after": 12_500_000},
        },
    )
    assert (project.longest_ttl, project.daily_budget_microusd) == (timedelta(days=7), 12_500_000)


def test_project_is_added_with_its_policy_limits_and_budgets(ada: Client) -> None:
    policy = {"default_ttl": "12h", "longest_ttl": "7d", "permits_never": "on", "permits_renewal": "on"}
    policy |= {"disconnect_policy": "drain", "drain_seconds": "600"}
    policy |= {"death_policy": "finish", "unpriced_policy": "flat", "flat_price_microusd": "0.01"}
    limits = {field: str(number) for number, field in enumerate(LIMITS, start=1)}
    budgets = {field: f"{number}.5" for number, field in enumerate(BUDGETS, start=1)}
    ada.post(ADD, add_form(**policy, **limits, **budgets))
    project = Project.objects.get()
    assert (project.default_ttl, project.longest_ttl) == (timedelta(hours=12), timedelta(days=7))
    assert (project.permits_never, project.permits_renewal) == (True, True)
    assert (project.death_policy, project.unpriced_policy) == ("finish", "flat")
    assert (project.disconnect_policy, project.drain_seconds) == ("drain", 600)
    assert project.flat_price_microusd == 10_000
    assert {field: str(getattr(project, field)) for field in LIMITS} == limits
    assert [getattr(project, field) for field in BUDGETS] == [1_500_000, 2_500_000, 3_500_000, 4_500_000]
    details = AuditEvent.objects.get(action="project.created").details
    assert (details["longest_ttl"], details["daily_budget_microusd"]) == ("7d", 2_500_000)


@pytest.mark.parametrize(
    ("edit", "problems"),
    [
        (
            {"default_ttl": "8d", "longest_ttl": "7d"},
            {"default_ttl": ["It is longer than the longest lifetime, 7d."]},
        ),
        (
            {"default_ttl": "never"},
            {
                "default_ttl": [
                    "A project's lifetimes end; whether it permits tokens that never expire is asked apart."
                ]
            },
        ),
        (
            {"longest_ttl": "366d"},
            {"longest_ttl": ["A lifetime is at least 1 minute and at most 365 days, or the word never."]},
        ),
        ({"unpriced_policy": "flat"}, {"flat_price_microusd": ["Charging a flat price needs one."]}),
        (
            {"unpriced_policy": "flat", "flat_price_microusd": "0"},
            {"flat_price_microusd": ["An amount of US dollars is above 0 and at most 9 thousand million."]},
        ),
        (
            {"daily_budget_microusd": "five"},
            {"daily_budget_microusd": ["An amount is a number of US dollars, such as 5 or 0.25."]},
        ),
        ({"max_requests": "0"}, {"max_requests": ["Ensure this value is greater than or equal to 1."]}),
    ],
)
def test_policy_that_makes_no_sense_is_an_error_of_its_field(
    ada: Client, edit: dict[str, str], problems: dict[str, list[str]]
) -> None:
    project = ProjectFactory()
    added, changed = ada.post(ADD, add_form(**edit)), ada.post(page(project), change_form(project, **edit))
    assert added.context["adminform"].errors == changed.context["adminform"].errors == problems
    assert events() == []


def test_policy_is_shown_as_it_is_typed(ada: Client) -> None:
    project = ProjectFactory(longest_ttl=timedelta(days=7), daily_budget_microusd=12_500_000)
    html = ada.get(page(project)).content.decode()
    for shown in ('value="7d"', 'value="12.50"', "Lifetime", "Limits", "Budgets (USD)", "Policy"):
        assert shown in html


def test_who_may_only_view_reads_the_policy_as_it_would_be_typed(client: Client) -> None:
    client.force_login(staff_with("view_project"))
    project = ProjectFactory(longest_ttl=timedelta(days=7), daily_budget_microusd=12_500_000)
    html = client.get(page(project)).content.decode()
    for shown in ("Longest lifetime", ">7d<", "Daily budget", ">12.50<"):
        assert shown in html
    assert not any(hidden in html for hidden in ("12500000", "millionths", ">None<"))


def test_saving_without_an_edit_leaves_no_event(ada: Client) -> None:
    project = ProjectFactory()
    response = ada.post(page(project), change_form(project))
    assert response.status_code == 302
    assert events() == []


def test_activity_cannot_be_edited_in_the_form(ada: Client) -> None:
    project = ProjectFactory(is_active=False)
    ada.post(page(project), change_form(project, is_active="on"))
    project.refresh_from_db()
    assert not project.is_active


def test_another_upstream_key_is_added_from_the_change_page(ada: Client) -> None:
    project = ProjectFactory()
    ada.post(page(project), change_form(project, upstream_key=SECOND_KEY))
    assert project.upstream_keys.last().reveal() == SECOND_KEY
    assert events() == [("upstream_key.added", "user:ada")]


def test_upstream_keys_are_shown_by_their_last_four(ada: Client) -> None:
    html = ada.get(page(ProjectFactory())).content.decode()
    assert "…WXYZ" in html
    assert UpstreamKey.objects.get().ciphertext not in html


def test_upstream_key_is_switched_off_and_on(ada: Client) -> None:
    project = ProjectFactory()
    key = project.upstream_keys.get()
    form = change_form(project)
    ada.post(page(project), {name: value for name, value in form.items() if not name.endswith("is_active")})
    off = project.upstream_keys.get()
    ada.post(page(project), form)
    on = project.upstream_keys.get()
    assert (off.is_active, on.is_active) == (False, True)
    assert key.updated_at < off.updated_at < on.updated_at
    assert on.reveal() == UPSTREAM_KEY
    assert events() == [("upstream_key.deactivated", "user:ada"), ("upstream_key.activated", "user:ada")]


def test_upstream_keys_are_neither_added_nor_deleted_by_a_forged_inline(ada: Client) -> None:
    project = ProjectFactory()
    forged = {
        "upstream_keys-TOTAL_FORMS": 2,
        "upstream_keys-0-DELETE": "on",
        "upstream_keys-1-is_active": "on",
    }
    ada.post(page(project), change_form(project, **forged))
    assert project.upstream_keys.get().is_active


def test_projects_are_switched_off_and_on_by_actions(ada: Client) -> None:
    project = ProjectFactory()
    ada.post(LIST, {"action": "deactivate", "_selected_action": [project.pk]})
    off = Project.objects.get()
    ada.post(LIST, {"action": "activate", "_selected_action": [project.pk]})
    on = Project.objects.get()
    assert (off.is_active, on.is_active) == (False, True)
    assert events() == [("project.deactivated", "user:ada"), ("project.activated", "user:ada")]


def test_projects_are_never_deleted(ada: Client) -> None:
    project = ProjectFactory()
    assert ada.post(page(project, "delete"), {"post": "yes"}).status_code == 403
    ada.post(LIST, {"action": "delete_selected", "_selected_action": [project.pk], "post": "yes"})
    assert Project.objects.filter(pk=project.pk).exists()


def test_name_is_escaped_everywhere(ada: Client) -> None:
    name = "<script>alert(1)</script>"
    added = ada.post(ADD, add_form(name=name), follow=True)
    project = Project.objects.get(name=name)
    changed = ada.post(
        page(project), change_form(project, base_url="http://a.test", _continue=""), follow=True
    )
    pages = [added, changed, *(ada.get(url) for url in (LIST, page(project), page(project, "history")))]
    for response in pages:
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in response.content.decode()
        assert name not in response.content.decode()


@pytest.mark.parametrize("view", ["changelist", "add"])
def test_strangers_are_sent_to_sign_in(client: Client, view: str) -> None:
    url = reverse(f"admin:projects_project_{view}")
    assert client.get(url).headers["location"] == f"{reverse('admin:login')}?next={url}"


def test_users_who_are_not_staff_are_refused(client: Client) -> None:
    client.force_login(UserFactory())
    response = client.get(LIST, follow=True)
    assert "not authorized to access this page" in response.content.decode()


def test_who_may_only_view_can_read_but_not_change(client: Client) -> None:
    client.force_login(staff_with("view_project", "view_upstreamkey"))
    project = ProjectFactory(name="alpha")
    html = client.get(page(project)).content.decode()
    assert "…WXYZ" in html
    assert 'name="upstream_key"' not in html
    assert client.post(page(project), change_form(project, name="beta")).status_code == 403
    client.post(LIST, {"action": "deactivate", "_selected_action": [project.pk]})
    assert Project.objects.get().is_active


def test_upstream_key_needs_its_own_permission(client: Client) -> None:
    client.force_login(staff_with("change_project"))
    project = ProjectFactory(name="alpha")
    client.post(page(project), change_form(project, name="beta", upstream_key=SECOND_KEY))
    assert Project.objects.get().name == "beta"
    assert project.upstream_keys.count() == 1


def staff_with(*permissions: str) -> Any:
    user = UserFactory(is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=[*permissions, "see_all_projects"]))
    return user
