from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from audit.models import AuditEvent
from projects.models import Project, UpstreamKey
from tests.factories import UPSTREAM_KEY, AccessTokenFactory, ProjectFactory, UserFactory, stored_text

pytestmark = pytest.mark.django_db
LIST = reverse("admin:projects_project_changelist")
ADD = reverse("admin:projects_project_add")
SECOND_KEY = "sk-second-upstream-key-9876MNOP"


@pytest.fixture
def ada(client: Client) -> Client:
    client.force_login(UserFactory(superuser=True, username="ada"))
    return client


def page(project: Project, view: str = "change") -> str:
    return reverse(f"admin:projects_project_{view}", args=[project.pk])


def change_form(project: Project, **values: Any) -> dict[str, Any]:
    """What a browser would send from the change page."""
    keys = list(project.upstream_keys.all())
    form: dict[str, Any] = {"name": project.name, "base_url": project.base_url, "upstream_key": ""}
    form |= {"upstream_keys-TOTAL_FORMS": len(keys), "upstream_keys-INITIAL_FORMS": len(keys)}
    for number, key in enumerate(keys):
        form[f"upstream_keys-{number}-id"] = key.pk
        form[f"upstream_keys-{number}-project"] = project.pk
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
    response = ada.post(
        ADD,
        {"name": "alpha", "base_url": "http://upstream.test/v1/", "upstream_key": UPSTREAM_KEY},
        follow=True,
    )
    project = Project.objects.get()
    assert response.redirect_chain == [(LIST, 302)]
    assert (project.name, project.base_url) == ("alpha", "http://upstream.test/v1")
    assert UpstreamKey.objects.get(project=project).reveal() == UPSTREAM_KEY
    assert events() == [("project.created", "user:ada"), ("upstream_key.added", "user:ada")]
    assert LogEntry.objects.get().object_id == str(project.pk)


def test_upstream_key_is_in_no_response_and_in_no_row(ada: Client) -> None:
    added = ada.post(ADD, {"name": "alpha", "base_url": "", "upstream_key": UPSTREAM_KEY}, follow=True)
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
    response = ada.post(ADD, {"name": "", "base_url": "", "upstream_key": UPSTREAM_KEY})
    assert response.context["errors"]
    assert UPSTREAM_KEY not in response.content.decode()
    assert not Project.objects.exists()


def test_refused_upstream_key_is_not_rendered_again(ada: Client) -> None:
    response = ada.post(ADD, {"name": "alpha", "base_url": "", "upstream_key": "two words"})
    assert "An upstream key is 8 to 512 printable characters." in response.content.decode()
    assert "two words" not in response.content.decode()
    assert "two words" not in stored_text()


def test_upstream_key_is_required_for_a_new_project(ada: Client) -> None:
    response = ada.post(ADD, {"name": "alpha", "base_url": "", "upstream_key": ""})
    assert response.context["adminform"].errors == {"upstream_key": ["This field is required."]}


def test_browsers_are_told_not_to_fill_in_the_upstream_key(ada: Client) -> None:
    field = ada.get(ADD).context["adminform"].form["upstream_key"].as_widget()
    assert 'type="password"' in field
    assert 'autocomplete="new-password"' in field


def test_base_url_that_is_no_url_is_a_field_error(ada: Client) -> None:
    response = ada.post(ADD, {"name": "alpha", "base_url": "ftp://x", "upstream_key": UPSTREAM_KEY})
    assert list(response.context["adminform"].errors) == ["base_url"]


def test_second_project_of_a_name_is_refused(ada: Client) -> None:
    ProjectFactory(name="alpha")
    response = ada.post(ADD, {"name": " alpha ", "base_url": "", "upstream_key": UPSTREAM_KEY})
    assert list(response.context["adminform"].errors) == ["name"]


def test_editing_names_the_changed_fields_in_the_audit_trail(ada: Client) -> None:
    project = ProjectFactory(name="alpha")
    ada.post(page(project), change_form(project, base_url="http://upstream.test/v1/"))
    event = AuditEvent.objects.get()
    project.refresh_from_db()
    assert project.base_url == "http://upstream.test/v1"
    assert (event.action, event.actor, event.details) == (
        "project.changed",
        "user:ada",
        {"fields": ["base_url"]},
    )


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
    added = ada.post(ADD, {"name": name, "base_url": "", "upstream_key": UPSTREAM_KEY}, follow=True)
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
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user
