"""Several upstream keys of a project: in commands, in the admin, in the audit trail; never the key itself."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.test import Client
from django.utils import timezone
from pytest_django import Settings
from uuid_utils.compat import uuid7

from audit.models import AuditEvent
from llm_proxy_site.checks import check_upstream_keys
from projects.key_health import health_text, store_health
from projects.lifecycle import add_upstream_key, update_upstream_key
from projects.models import UpstreamKey
from proxy.keyring import KeyHealth
from tests.commands import in_a_process, run, run_json
from tests.factories import UPSTREAM_KEY, ProjectFactory, UserFactory, stored_text
from tests.projects.test_admin import change_form, page

pytestmark = pytest.mark.django_db
SECOND = "sk-upstream-second-9876MNOP"
NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


def events() -> list[tuple[str, Any]]:
    return [(event.action, event.details) for event in AuditEvent.objects.order_by("id")]


def test_key_is_added_with_name_and_weight() -> None:
    project = ProjectFactory.create(name="alpha")
    facts = run_json("add_upstream_key", "alpha", "--key", SECOND, "--name", "team b", "--weight", "3")
    key = project.upstream_keys.get(pk=facts["id"])
    assert (key.reveal(), key.name, key.weight) == (SECOND, "team b", 3)
    assert (facts["key"], facts["weight"], facts["health"]) == ("…MNOP", 3, "well")
    assert events() == [("upstream_key.added", {"name": "team b", "weight": 3})]


@pytest.mark.django_db(transaction=True)
def test_key_is_read_from_standard_input() -> None:
    ProjectFactory.create(name="alpha")
    done = in_a_process("add_upstream_key", "alpha", "--key", "-", stdin=f"{SECOND}\n")
    assert done.returncode == 0
    assert "…MNOP" in done.stdout
    assert UpstreamKey.objects.get(last_four="MNOP").reveal() == SECOND


@pytest.mark.parametrize("weight", [0, 1001])
def test_weight_is_bounded(weight: int) -> None:
    with pytest.raises(ValidationError):
        add_upstream_key(ProjectFactory.create(), SECOND, weight=weight, actor="cli:ada")
    assert events() == []


def test_keys_are_listed_with_their_health() -> None:
    alpha, _ = ProjectFactory.create(name="alpha"), ProjectFactory.create(name="beta")
    UpstreamKey.objects.filter(project=alpha).update(
        last_failure_code="401", last_failed_at=NOW, cooling_until=timezone.now() + timedelta(minutes=5)
    )
    assert [key["project"] for key in run_json("list_upstream_keys")] == ["alpha", "beta"]
    (key,) = run_json("list_upstream_keys", "alpha")
    assert (key["last_failure_code"], key["last_failed_at"]) == ("401", NOW.isoformat())
    assert "rests for " in run("list_upstream_keys")


def test_key_is_changed_and_what_was_before_is_audited() -> None:
    key = ProjectFactory.create().upstream_keys.get()
    facts = run_json("update_upstream_key", str(key.id), "--name", "a", "--weight", "5", "--active", "no")
    assert (facts["name"], facts["weight"], facts["is_active"], facts["changed"]) == ("a", 5, False, True)
    assert UpstreamKey.objects.get().updated_at > key.updated_at
    assert events() == [
        ("upstream_key.deactivated", {}),
        (
            "upstream_key.changed",
            {"name": {"before": "", "after": "a"}, "weight": {"before": 1, "after": 5}},
        ),
    ]


def test_change_that_is_none_leaves_no_event() -> None:
    key = ProjectFactory.create().upstream_keys.get()
    assert not update_upstream_key(key, actor="cli:ada", weight=1, is_active=True)
    assert not run_json("update_upstream_key", str(key.id), "--active", "yes")["changed"]
    assert events() == []


def test_unknown_key_is_refused() -> None:
    with pytest.raises(CommandError, match="There is no upstream key"):
        run("update_upstream_key", str(uuid7()), "--weight", "1")


def test_a_key_that_is_given_for_its_id_is_not_shown() -> None:
    with pytest.raises(CommandError, match="no ID of an upstream key") as raised:
        run("update_upstream_key", "sk-pasted-by-mistake", "--weight", "1")
    assert "pasted" not in str(raised.value)


def test_nothing_to_change_is_refused() -> None:
    with pytest.raises(CommandError, match="Say what to change"):
        run("update_upstream_key", str(ProjectFactory.create().upstream_keys.get().id))


def test_no_command_prints_or_stores_a_key() -> None:
    key = ProjectFactory.create(name="alpha").upstream_keys.get()
    printed = [
        run("add_upstream_key", "alpha", "--key", SECOND),
        run("list_upstream_keys"),
        run("list_upstream_keys", "--json"),
        run("update_upstream_key", str(key.id), "--weight", "2", "--json"),
    ]
    secrets = (UPSTREAM_KEY, SECOND, *UpstreamKey.objects.values_list("ciphertext", flat=True))
    assert not any(secret in "".join(printed) for secret in secrets)
    assert not any(secret in stored_text() for secret in (UPSTREAM_KEY, SECOND))


def test_admin_changes_name_and_weight_and_shows_health(client: Client) -> None:
    client.force_login(UserFactory.create(superuser=True, username="ada"))
    project = ProjectFactory.create()
    UpstreamKey.objects.update(last_failure_code="429 insufficient_quota", last_failed_at=NOW)
    form = change_form(project, **{"upstream_keys-0-name": "team a", "upstream_keys-0-weight": 7})
    client.post(page(project), form)
    key = project.upstream_keys.get()
    html = client.get(page(project)).content.decode()
    assert (key.name, key.weight, key.is_active, key.reveal()) == ("team a", 7, True, UPSTREAM_KEY)
    assert "in use; 429 insufficient_quota at 2030-01-02T03:04:05Z" in html
    assert [action for action, _ in events()] == ["upstream_key.changed"]


def test_admin_refuses_a_weight_that_is_none(client: Client) -> None:
    client.force_login(UserFactory.create(superuser=True))
    project = ProjectFactory.create()
    answer = client.post(page(project), change_form(project, **{"upstream_keys-0-weight": 0}))
    assert answer.status_code == 200
    assert project.upstream_keys.get().weight == 1


def test_health_is_stored_without_an_edit() -> None:
    key = ProjectFactory.create().upstream_keys.get()
    failed_at = NOW.timestamp()
    store_health([KeyHealth(key.id, "401", failed_at, failed_at + 60), KeyHealth(uuid7(), "401", 1, 2)])
    stored = UpstreamKey.objects.get()
    assert (stored.last_failure_code, stored.last_failed_at) == ("401", NOW)
    assert (stored.cooling_until, stored.updated_at) == (NOW + timedelta(seconds=60), key.updated_at)
    assert health_text(stored, NOW) == "rests for 60 s; 401 at 2030-01-02T03:04:05Z"
    store_health([KeyHealth(key.id, "401", failed_at, 0.0)])
    assert UpstreamKey.objects.get().cooling_until is None


def test_keys_that_no_encryption_key_decrypts_are_told_at_start_and_in_lists(
    settings: Settings,
) -> None:
    key = ProjectFactory.create().upstream_keys.get()
    ProjectFactory.create().upstream_keys.update(is_active=False)
    assert check_upstream_keys(None, databases=["default"]) == []
    assert health_text(key, NOW) == "well"

    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    (warning,) = check_upstream_keys(None, databases=["default"])
    assert warning.id == "llm_proxy.W003"
    assert warning.msg == "No key in ENCRYPTION_KEYS decrypts 1 of 1 upstream keys."
    assert health_text(key, NOW) == "no key in ENCRYPTION_KEYS decrypts it"
    assert check_upstream_keys(None) == []
