from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.utils import timezone
from pytest_django import Settings

from projects.encryption import UndecryptableError
from projects.models import Project, UpstreamKey, validate_base_url, validate_key
from tests.factories import UPSTREAM_KEY, ProjectFactory, UpstreamKeyFactory

NOW = timezone.now()


@pytest.mark.django_db
def test_project_is_found_by_its_name_or_its_id() -> None:
    project, _ = ProjectFactory.create(name="alpha"), ProjectFactory.create()
    for text in ("alpha", str(project.id), project.id.hex, str(project.id).upper()):
        assert Project.objects.named(text).get() == project


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["", "Alpha", "alph", "%", "00000000-0000-7000-8000-000000000000"])
def test_any_other_text_finds_no_project(text: str) -> None:
    ProjectFactory.create(name="alpha")
    assert not Project.objects.named(text).exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"name": ""}, "project_has_a_name"),
        ({"is_active": False}, "project_deactivation_has_its_instant"),
        ({"deactivated_at": NOW}, "project_deactivation_has_its_instant"),
    ],
)
def test_database_refuses_a_project_that_makes_no_sense(fields: dict[str, Any], constraint: str) -> None:
    ProjectFactory.create()
    with pytest.raises(IntegrityError, match=constraint):
        Project.objects.update(**fields)


@pytest.mark.django_db
def test_database_refuses_two_projects_of_one_name() -> None:
    ProjectFactory.create(name="alpha")
    with pytest.raises(IntegrityError):
        ProjectFactory.create(name="alpha")


@pytest.mark.django_db
def test_database_refuses_an_upstream_key_without_a_value() -> None:
    UpstreamKeyFactory.create()
    with pytest.raises(IntegrityError, match="upstream_key_is_not_empty"):
        UpstreamKey.objects.update(ciphertext="")


@pytest.mark.django_db
def test_upstream_key_is_encrypted_in_its_row_and_can_be_revealed() -> None:
    UpstreamKeyFactory.create(plain=UPSTREAM_KEY)
    stored = UpstreamKey.objects.get()
    assert UPSTREAM_KEY not in str(UpstreamKey.objects.values().get())
    assert stored.reveal() == UPSTREAM_KEY


def test_upstream_key_shows_its_last_four_characters_only() -> None:
    key = UpstreamKey()
    key.conceal(UPSTREAM_KEY)
    assert str(key) == "…WXYZ"
    assert UPSTREAM_KEY not in f"{key!r} {vars(key)}"


def test_upstream_key_of_a_lost_encryption_key_cannot_be_revealed(settings: Settings) -> None:
    key = UpstreamKey()
    key.conceal(UPSTREAM_KEY)
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(UndecryptableError):
        key.reveal()


def test_project_tells_whether_switching_was_a_change() -> None:
    project = Project(name="alpha")
    assert [project.set_active(active, NOW) for active in (True, False, False, True)] == [
        False,
        True,
        False,
        True,
    ]


@pytest.mark.parametrize("key", ["k" * 8, "k" * 512, UPSTREAM_KEY, "!~\"'\\{}[]"])
def test_printable_key_is_permitted(key: str) -> None:
    validate_key(key)


@pytest.mark.parametrize(
    "key", ["k" * 7, "k" * 513, "", "k" * 8 + "\n", "k\0" * 8, "key key key", "clé-clé-clé"]
)
def test_other_keys_are_not(key: str) -> None:
    with pytest.raises(ValidationError, match="8 to 512 printable ASCII characters, without spaces"):
        validate_key(key)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1",
        "http://ollama:11434/v1",
        "http://my_model/v1",
        "http://localhost:8080",
        "http://127.0.0.1:1/v1",
        "http://[::1]:80/v1",
    ],
)
def test_address_of_a_server_is_permitted(url: str) -> None:
    validate_base_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "api.openai.com",
        "http://a:b@c/v1",
        "http://a:70000/v1",
        "http://a\n/v1",
        " http://a/v1",
        "http://[",
        "http://-a/v1",
        "ftp://upstream.test",
        "file:///etc/passwd",
        "http://",
        "http://a b",
        "javascript:1",
    ],
)
def test_other_addresses_are_not(url: str) -> None:
    with pytest.raises(ValidationError):
        validate_base_url(url)
