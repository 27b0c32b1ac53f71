"""Keys of the management API, by command and in the admin."""

import re

import pytest
from django.core.management.base import CommandError
from django.test import Client
from django.urls import reverse

from audit.models import AuditEvent
from llm_proxy_site.api.scopes import ALL_SCOPES, UnknownScopeError, read_scopes
from llm_proxy_site.models import ApiKey
from projects.access import VIEWER
from tests.commands import run, run_json
from tests.factories import UserFactory, stored_text
from tests.management import Manager, key_of
from tokens.format import digest

pytestmark = pytest.mark.django_db
LIST = reverse("admin:llm_proxy_site_apikey_changelist")
ADD = reverse("admin:llm_proxy_site_apikey_add")


def test_scopes_are_read_by_name_or_all_at_once() -> None:
    assert read_scopes("tokens:read, tokens:write") == {"tokens:read", "tokens:write"}
    assert read_scopes("all") == ALL_SCOPES
    assert all(scope.endswith(":read") for scope in read_scopes("read"))
    for text in ("tokens", "", " , "):
        with pytest.raises(UnknownScopeError):
            read_scopes(text)


def test_a_key_is_made_listed_and_revoked_by_command() -> None:
    UserFactory(superuser=True, username="ada")
    made = run_json("create_api_key", "ada", "--name", "ci", "--scopes", "projects:read", "--ttl", "7d")
    plain = made.pop("plain_text")
    assert (made["user"], made["scopes"], made["state"]) == ("ada", ["projects:read"], "active")
    assert ApiKey.objects.get().digest == digest(plain)
    assert plain not in stored_text()
    assert Manager(plain).call("GET", "/projects").status_code == 200

    listed = run("list_api_keys", "--user", "ada")
    assert plain not in listed
    assert plain[-4:] in listed
    assert "is revoked" in run("revoke_api_key", made["id"])
    assert "was revoked already" in run("revoke_api_key", made["id"])
    assert Manager(plain).call("GET", "/projects").status_code == 401
    assert run_json("list_api_keys")[0]["state"] == "revoked"


@pytest.mark.parametrize(
    "arguments",
    [
        ["create_api_key", "nobody", "--name", "ci", "--scopes", "all"],
        ["create_api_key", "ada", "--name", "", "--scopes", "all"],
        ["create_api_key", "ada", "--name", "ci", "--scopes", "everything"],
        ["create_api_key", "ada", "--name", "ci", "--scopes", "all", "--ttl", "never"],
        ["list_api_keys", "--user", "nobody"],
    ],
)
def test_what_makes_no_key_is_refused(arguments: list[str]) -> None:
    UserFactory(username="ada")
    with pytest.raises(CommandError):
        run(*arguments)
    assert not ApiKey.objects.exists()


def test_a_key_that_is_given_for_its_id_is_not_repeated() -> None:
    plain = key_of(UserFactory(superuser=True))
    with pytest.raises(CommandError) as refused:
        run("revoke_api_key", plain)
    assert plain not in str(refused.value)


def test_people_make_their_own_keys_in_the_admin(client: Client) -> None:
    linus = UserFactory(role=VIEWER, username="linus")
    client.force_login(linus)
    assert client.get(ADD).status_code == 200
    page = client.post(ADD, {"name": "notebook", "lifetime": "30d", "scopes": ["projects:read"]})
    (plain,) = set(re.findall(r"sk-mg-[0-9A-Za-z]{55}", page.content.decode()))
    assert "no-store" in page.headers["Cache-Control"]

    key = ApiKey.objects.get()
    assert (key.user, key.digest, key.scopes) == (linus, digest(plain), ["projects:read"])
    assert plain not in client.get(LIST).content.decode()
    shown = client.get(reverse("admin:llm_proxy_site_apikey_change", args=[key.pk])).content.decode()
    assert "notebook" in shown
    assert "history/" not in shown  # it would be empty
    assert AuditEvent.objects.latest("id").actor == "user:linus"
    client.post(LIST, {"action": "revoke", "_selected_action": [str(key.pk)]})
    key.refresh_from_db()
    assert key.revoked_at is not None


@pytest.mark.parametrize(
    "values", [{"lifetime": "never"}, {"lifetime": "366d"}, {"scopes": []}, {"scopes": ["x"]}, {"name": ""}]
)
def test_a_form_that_makes_no_key_is_shown_again(client: Client, values: dict[str, object]) -> None:
    client.force_login(UserFactory(role=VIEWER))
    page = client.post(ADD, {"name": "a", "lifetime": "", "scopes": ["projects:read"], **values})
    assert page.status_code == 200
    assert "errorlist" in page.content.decode()
    assert not ApiKey.objects.exists()


def test_only_admins_see_the_keys_of_others(client: Client) -> None:
    key_of(UserFactory(superuser=True, username="ada"))
    key = ApiKey.objects.get()
    client.force_login(UserFactory(role=VIEWER))
    assert "ada" not in client.get(LIST).content.decode()
    client.post(LIST, {"action": "revoke", "_selected_action": [str(key.pk)]})
    key.refresh_from_db()
    assert key.revoked_at is None

    client.force_login(UserFactory(superuser=True))
    assert "ada" in client.get(LIST).content.decode()


def test_people_without_a_role_make_no_keys(client: Client) -> None:
    client.force_login(UserFactory(is_staff=True))
    assert client.get(ADD).status_code == 403
    assert client.get(LIST).status_code == 403
