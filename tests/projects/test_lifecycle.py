from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.utils import timezone

from audit.models import AuditEvent
from projects.lifecycle import add_upstream_key, create_project, set_project_active, update_project
from projects.models import Project, UpstreamKey
from tests.factories import UPSTREAM_KEY, ProjectFactory, stored_text

pytestmark = pytest.mark.django_db
NOW = timezone.now()
BAD_RULES: list[tuple[dict[str, Any], str]] = [
    ({"default_ttl": timedelta(days=8), "longest_ttl": timedelta(days=7)}, "default_ttl"),
    ({"longest_ttl": timedelta(days=366)}, "longest_ttl"),
    ({"unpriced_policy": "flat"}, "flat_price_microusd"),
    ({"unpriced_policy": "free"}, "unpriced_policy"),
    ({"death_policy": "linger"}, "death_policy"),
    ({"disconnect_policy": "linger"}, "disconnect_policy"),
    ({"drain_seconds": 0}, "drain_seconds"),
    ({"drain_seconds": 601}, "drain_seconds"),
    ({"max_requests": 0}, "max_requests"),
    ({"daily_budget_microusd": -1}, "daily_budget_microusd"),
]


def created(**overrides: Any) -> Project:
    return create_project(**{"name": "alpha", "upstream_key": UPSTREAM_KEY, "actor": "user:ada"} | overrides)


def events() -> list[tuple[str, str, str]]:
    """Action, actor and subject of each event, the oldest first."""
    return [(event.action, event.actor, event.subject_id) for event in AuditEvent.objects.order_by("id")]


def test_project_is_created_with_its_upstream_key() -> None:
    project = created(name=" alpha ", base_url="http://upstream.test/v1/")
    stored = Project.objects.get()
    assert stored == project
    assert (stored.name, stored.base_url, stored.is_active) == ("alpha", "http://upstream.test/v1", True)
    assert stored.upstream_keys.get().reveal() == UPSTREAM_KEY


def test_creation_leaves_audit_events_of_the_project_and_of_its_key() -> None:
    project = created(base_url="http://upstream.test/v1")
    assert events() == [
        ("project.created", "user:ada", str(project.id)),
        ("upstream_key.added", "user:ada", str(project.upstream_keys.get().id)),
    ]
    assert {event.project_id for event in AuditEvent.objects.all()} == {project.id}
    assert AuditEvent.objects.get(action="project.created").details == {"base_url": "http://upstream.test/v1"}


def test_project_is_created_with_its_policy_and_limits() -> None:
    rules = {"longest_ttl": timedelta(days=7), "permits_renewal": True, "daily_budget_microusd": 5}
    created(**rules, max_requests=None, permits_never=False)
    project = Project.objects.get()
    assert {field: getattr(project, field) for field in rules} == rules
    assert AuditEvent.objects.get(action="project.created").details == {
        "base_url": "",
        "longest_ttl": "7d",
        "permits_renewal": True,
        "daily_budget_microusd": 5,
    }


@pytest.mark.parametrize(("bad", "field"), BAD_RULES)
def test_project_is_not_created_with_a_bad_rule(bad: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        created(**bad)
    assert list(caught.value.message_dict) == [field]
    assert not Project.objects.exists()


def test_update_changes_what_is_named_and_nothing_else() -> None:
    project = ProjectFactory.create(name="alpha", max_requests=5, max_concurrent_requests=2)
    before: dict[str, Any] = dict(Project.objects.values().get())
    edits = {"longest_ttl": timedelta(days=7), "max_requests": None, "unpriced_policy": "refuse"}
    assert update_project(project, actor="user:ada", **edits) is True
    after: dict[str, Any] = dict(Project.objects.values().get())
    assert {field for field in after if after[field] != before[field]} == {*edits, "updated_at"}
    assert {field: after[field] for field in edits} == edits
    assert {field: getattr(project, field) for field in edits} == edits


def test_update_leaves_an_audit_event_with_before_and_after() -> None:
    project = ProjectFactory.create(name="alpha", max_requests=5)
    update_project(project, name="beta", longest_ttl=timedelta(days=7), max_requests=5, actor="user:ada")
    event = AuditEvent.objects.get()
    assert (event.action, event.actor, event.subject_id, event.project_id) == (
        "project.changed",
        "user:ada",
        str(project.id),
        project.id,
    )
    assert event.details == {
        "name": {"before": "alpha", "after": "beta"},
        "longest_ttl": {"before": None, "after": "7d"},
    }


def test_update_to_what_the_project_is_changes_nothing() -> None:
    project = ProjectFactory.create(max_requests=5)
    before = Project.objects.values().get()
    assert update_project(project, max_requests=5, actor="user:ada") is False
    assert Project.objects.values().get() == before
    assert events() == []


def test_update_does_not_undo_what_changed_behind_its_back() -> None:
    project = ProjectFactory.create()
    set_project_active(Project.objects.get(), False, actor="user:bob", now=NOW)
    update_project(project, max_requests=5, actor="user:ada")
    assert not Project.objects.get().is_active


def test_update_is_a_change_that_the_poller_can_see() -> None:
    project = ProjectFactory.create()
    Project.objects.update(updated_at=NOW - timedelta(days=1))
    update_project(project, max_requests=5, actor="user:ada")
    assert Project.objects.get().updated_at >= NOW


@pytest.mark.parametrize(
    ("bad", "field"), [*BAD_RULES, ({"name": ""}, "name"), ({"base_url": "x"}, "base_url")]
)
def test_project_is_not_updated_with_a_bad_rule(bad: dict[str, Any], field: str) -> None:
    project = ProjectFactory.create()
    before = Project.objects.values().get()
    with pytest.raises(ValidationError) as caught:
        update_project(project, actor="user:ada", **bad)
    assert list(caught.value.message_dict) == [field]
    assert Project.objects.values().get() == before


def test_project_is_not_updated_when_its_audit_event_cannot_be_written() -> None:
    project = ProjectFactory.create()
    with pytest.raises(IntegrityError):
        update_project(project, max_requests=5, actor="")
    assert Project.objects.get().max_requests is None


def test_upstream_key_is_in_no_row() -> None:
    project = created()
    assert project.upstream_keys.get().ciphertext in stored_text()
    assert UPSTREAM_KEY not in stored_text()


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "  "}, "name"),
        ({"name": "n" * 101}, "name"),
        ({"base_url": "upstream.test"}, "base_url"),
        ({"base_url": "ftp://upstream.test"}, "base_url"),
        ({"base_url": "http://upstream.test/" + "v" * 255}, "base_url"),
    ],
)
def test_bad_name_or_address_is_refused(bad: dict[str, str], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        created(**bad)
    assert list(caught.value.message_dict) == [field]
    assert not Project.objects.exists()


@pytest.mark.parametrize("key", ["", "short", "k" * 513, "two words", "sk-upstream-ключ", "sk-upstream\n"])
def test_bad_upstream_key_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(ValidationError) as caught:
        created(upstream_key=key)
    assert caught.value.messages == [
        "An upstream key is 8 to 512 printable ASCII characters, without spaces."
    ]
    assert not Project.objects.exists()
    assert not AuditEvent.objects.exists()


def test_second_project_of_a_name_is_refused() -> None:
    created()
    with pytest.raises(ValidationError) as caught:
        created(name=" alpha")
    assert caught.value.message_dict == {"name": ["Project with this Name already exists."]}


def test_project_is_not_created_when_its_audit_event_cannot_be_written() -> None:
    with pytest.raises(IntegrityError):
        created(actor="")
    assert not Project.objects.exists()
    assert not UpstreamKey.objects.exists()


def test_second_upstream_key_is_added_beside_the_first() -> None:
    project = ProjectFactory.create()
    key = add_upstream_key(project, "sk-upstream-second", actor="user:ada")
    assert [key.reveal() for key in project.upstream_keys.all()] == [UPSTREAM_KEY, "sk-upstream-second"]
    assert events() == [("upstream_key.added", "user:ada", str(key.id))]


def test_string_that_cannot_be_a_key_is_not_added() -> None:
    project = ProjectFactory.create(upstream_key=None)
    with pytest.raises(ValidationError):
        add_upstream_key(project, "two words", actor="user:ada")
    assert not UpstreamKey.objects.exists()


def test_upstream_key_is_not_added_when_its_audit_event_cannot_be_written() -> None:
    project = ProjectFactory.create(upstream_key=None)
    with pytest.raises(IntegrityError):
        add_upstream_key(project, UPSTREAM_KEY, actor="")
    assert not UpstreamKey.objects.exists()


def test_project_is_switched_off_with_its_instant_and_an_audit_event() -> None:
    project = ProjectFactory.create()
    assert set_project_active(project, False, actor="user:ada", now=NOW) is True
    stored = Project.objects.get()
    assert (stored.is_active, stored.deactivated_at) == (False, NOW)
    assert events() == [("project.deactivated", "user:ada", str(project.id))]


def test_project_is_switched_on_again() -> None:
    project = ProjectFactory.create(is_active=False)
    assert set_project_active(project, True, actor="user:ada", now=NOW) is True
    stored = Project.objects.get()
    assert (stored.is_active, stored.deactivated_at) == (True, None)
    assert events() == [("project.activated", "user:ada", str(project.id))]


@pytest.mark.parametrize("active", [True, False])
def test_project_that_is_so_already_is_left_alone(active: bool) -> None:
    project = ProjectFactory.create(is_active=active)
    before = Project.objects.values().get()
    assert set_project_active(project, active, actor="user:ada", now=NOW) is False
    assert Project.objects.values().get() == before
    assert events() == []


def test_switching_is_a_change_that_the_poller_can_see() -> None:
    project = ProjectFactory.create()
    Project.objects.update(updated_at=NOW - timedelta(days=1))
    set_project_active(project, False, actor="user:ada", now=timezone.now())
    assert Project.objects.get().updated_at >= NOW


def test_project_is_not_switched_off_when_its_audit_event_cannot_be_written() -> None:
    project = ProjectFactory.create()
    with pytest.raises(IntegrityError):
        set_project_active(project, False, actor="", now=NOW)
    assert Project.objects.get().is_active
