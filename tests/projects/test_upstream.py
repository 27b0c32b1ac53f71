"""What a project says of its upstream: which provider, who pays, and whether clients may be led past us."""

from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from audit.models import AuditEvent
from llm_proxy_site.checks import check_projects
from projects.lifecycle import create_project, update_project
from projects.models import Project
from tests.commands import run, run_json
from tests.factories import UPSTREAM_KEY, ProjectFactory, UserFactory
from tests.projects.test_admin import POLICY

pytestmark = pytest.mark.django_db
UNKNOWN = "There is no provider 'azur'. Configured: openai, azure."


@pytest.fixture(autouse=True)
def providers_file(settings: Settings, tmp_path: Path) -> Path:
    file = tmp_path / "providers.yaml"
    file.write_text("providers: {openai: {}, azure: {}}\nfamilies: {a: [{path: /a, methods: [GET]}]}\n")
    settings.PROVIDERS_FILE = file
    return file


def create(**rules: Any) -> Project:
    return create_project(name="alpha", upstream_key=UPSTREAM_KEY, actor="cli:ada", **rules)


def test_a_new_project_says_it_and_the_audit_trail_keeps_it() -> None:
    said = {
        "provider": "azure",
        "upstream_organization": "org-1",
        "upstream_project": "proj_2",
        "permits_leading_past_us": True,
    }
    create(**said)
    assert Project.objects.filter(**said).exists()
    assert AuditEvent.objects.get(action="project.created").details == {"base_url": "", **said}


def test_an_edit_is_kept_with_what_was_before() -> None:
    project = ProjectFactory.create(provider="azure")
    update_project(project, provider="", upstream_project="proj_2", actor="cli:ada")
    assert AuditEvent.objects.get().details == {
        "provider": {"before": "azure", "after": ""},
        "upstream_project": {"before": "", "after": "proj_2"},
    }


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        ({"provider": "azur"}, {"provider": [UNKNOWN]}),
        (
            {"upstream_organization": "two words"},
            {"upstream_organization": ["Printable ASCII characters without spaces."]},
        ),
        (
            {"upstream_project": "p\r\nx-evil: 1"},
            {"upstream_project": ["Printable ASCII characters without spaces."]},
        ),
        ({"upstream_project": "é"}, {"upstream_project": ["Printable ASCII characters without spaces."]}),
    ],
)
def test_what_makes_no_sense_is_refused_by_field(
    rules: dict[str, Any], problem: dict[str, list[str]]
) -> None:
    with pytest.raises(ValidationError) as refused:
        create(**rules)
    assert refused.value.message_dict == problem
    project = ProjectFactory.create()
    with pytest.raises(ValidationError):
        update_project(project, **rules, actor="cli:ada")
    assert not AuditEvent.objects.exists()


def test_a_provider_that_is_gone_stands_in_the_way_of_no_other_edit() -> None:
    project = ProjectFactory.create(provider="gone")
    assert update_project(project, max_requests=5, actor="cli:ada")
    assert update_project(project, provider="azure", actor="cli:ada")


def test_without_a_valid_file_no_provider_can_be_named(providers_file: Path) -> None:
    providers_file.write_text("providers: [")
    with pytest.raises(
        ValidationError, match=r"The providers cannot be read. .*providers.yaml:1: is not YAML"
    ):
        create(provider="azure")
    create()


def test_commands_set_it_show_it_and_take_it_back() -> None:
    options = ["--provider=azure", "--upstream-organization=org-1", "--permit-leading-past-us=yes"]
    facts = run_json("create_project", "alpha", "--upstream-key", UPSTREAM_KEY, *options)
    assert (facts["provider"], facts["upstream_organization"]) == ("azure", "org-1")
    assert (facts["upstream_project"], facts["permits_leading_past_us"]) == (None, True)
    assert " azure " in run("list_projects")
    facts = run_json("update_project", "alpha", "--provider=none", "--upstream-organization=none")
    assert (facts["provider"], facts["upstream_organization"]) == (None, None)


def test_commands_say_in_a_sentence_that_there_is_no_such_provider() -> None:
    ProjectFactory.create(name="alpha")
    for command in (["create_project", "beta", "--upstream-key", UPSTREAM_KEY], ["update_project", "alpha"]):
        with pytest.raises(CommandError) as refused:
            run(*command, "--provider=azur")
        assert str(refused.value) == f"provider: {UNKNOWN}"


def test_the_admin_says_it_at_the_field(client: Client) -> None:
    client.force_login(UserFactory(superuser=True))
    form = POLICY | {"name": "alpha", "upstream_key": UPSTREAM_KEY}
    add = reverse("admin:projects_project_add")
    response = client.post(add, form | {"provider": "azur", "upstream_project": "two words"})
    assert response.context["adminform"].errors == {
        "provider": [UNKNOWN],
        "upstream_project": ["Printable ASCII characters without spaces."],
    }
    client.post(add, form | {"provider": "azure", "permits_leading_past_us": "on"})
    project = Project.objects.get()
    assert (project.provider, project.permits_leading_past_us) == ("azure", True)


def test_the_admin_lets_a_provider_stay_that_is_gone(client: Client) -> None:
    client.force_login(UserFactory(superuser=True))
    project = ProjectFactory.create(provider="gone", upstream_key=None)
    form = POLICY | {"name": "beta", "provider": "gone"}
    form |= {"upstream_keys-TOTAL_FORMS": "0", "upstream_keys-INITIAL_FORMS": "0"}
    form |= {"memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}
    client.post(reverse("admin:projects_project_change", args=[project.pk]), form)
    project.refresh_from_db()
    assert (project.name, project.provider) == ("beta", "gone")


def test_a_system_check_names_the_projects_whose_provider_is_gone() -> None:
    ProjectFactory.create(provider="azure")
    ProjectFactory.create()
    project = ProjectFactory.create(name="alpha", provider="gone")
    (warning,) = check_projects(None, databases=["default"])
    assert warning.id == "llm_proxy.W002"
    assert warning.msg == "The project alpha names the provider gone, which is not configured."
    assert str(project.id) in (warning.hint or "")
    assert check_projects(None) == []
