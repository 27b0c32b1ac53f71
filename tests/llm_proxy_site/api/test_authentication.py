from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.utils import timezone

from audit.models import AuditEvent
from llm_proxy_site.api.keys import PREFIX, create_api_key, revoke_api_key
from llm_proxy_site.api.scopes import ALL_SCOPES
from llm_proxy_site.models import ApiKey
from projects.access import OPERATOR
from tests.factories import ProjectFactory, UserFactory, issue_token, stored_text
from tests.management import Manager, key_of, refusal
from tokens.format import generate

pytestmark = pytest.mark.django_db
TOKEN = "management-token-of-the-tests-0123456789"


def status_of(plain: str) -> int:
    return Manager(plain).call("GET", "/projects").status_code


def test_a_key_is_stored_as_a_digest_and_its_use_is_noted() -> None:
    user = UserFactory(superuser=True)
    plain = key_of(user)
    assert plain.startswith(PREFIX)
    assert plain not in stored_text()
    assert status_of(plain) == 200
    first = ApiKey.objects.get().last_used_at
    assert first is not None
    status_of(plain)
    assert ApiKey.objects.get().last_used_at == first


def test_a_key_dies_with_its_life_its_revocation_and_its_person() -> None:
    now = timezone.now()
    user = UserFactory(superuser=True)
    key, plain = create_api_key(
        user, name="ci", scopes=ALL_SCOPES, ttl=timedelta(hours=1), actor="user:x", now=now
    )
    assert status_of(plain) == 200
    ApiKey.objects.update(expires_at=now)
    assert status_of(plain) == 401
    ApiKey.objects.update(expires_at=now + timedelta(hours=1))

    user.is_active = False
    user.save()
    assert status_of(plain) == 401
    user.is_active = True
    user.save()
    assert status_of(plain) == 200

    assert revoke_api_key(key, actor="user:x", now=now)
    assert not revoke_api_key(key, actor="user:x", now=now)
    assert status_of(plain) == 401
    events = AuditEvent.objects.exclude(action="api_key.refused").order_by("id")
    assert list(events.values_list("action", flat=True)) == ["api_key.created", "api_key.revoked"]


def test_a_key_loses_what_its_person_loses() -> None:
    project = ProjectFactory()
    user = UserFactory(role=OPERATOR, projects=[project])
    manager = Manager(key_of(user))
    assert manager.call("GET", f"/projects/{project.id}").status_code == 200
    user.project_memberships.all().delete()
    assert manager.call("GET", f"/projects/{project.id}").status_code == 404
    user.groups.clear()
    assert manager.call("GET", f"/projects/{project.id}").status_code == 403


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer sk-mg-x", "Bearer é"])
def test_what_is_no_key_is_refused(header: str) -> None:
    refused = Manager(None).call("GET", "/projects", Authorization=header)
    assert refusal(refused) == (401, "invalid_api_key", None)


def test_an_access_token_is_no_key() -> None:
    assert status_of(issue_token()[1]) == 401


def test_cookies_do_not_let_anybody_in() -> None:
    manager = Manager(None)
    manager._client.force_login(UserFactory(superuser=True))
    assert manager.call("GET", "/projects").status_code == 401


def test_the_management_token_does_everything_where_it_is_set(settings: LazySettings) -> None:
    assert status_of(TOKEN) == 401
    settings.MANAGEMENT_TOKEN = TOKEN
    project = ProjectFactory()
    Manager(TOKEN).do("PATCH", f"/projects/{project.id}", {"name": "renamed"})
    assert AuditEvent.objects.latest("id").actor == "management-token"
    assert status_of(TOKEN[:-1]) == 401
    settings.MANAGEMENT_TOKEN = ""
    assert status_of("") == 401


def test_who_guesses_keys_is_kept_out_for_a_while() -> None:
    _, guess = generate(prefix=PREFIX)
    statuses = [status_of(guess) for _ in range(22)]
    assert statuses == [401] * 20 + [429] * 2
    refused = Manager(guess).call("GET", "/projects")
    assert refusal(refused) == (429, "rate_limit_exceeded", None)
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    good = Manager.of_superuser()
    assert good.call("GET", "/projects").status_code == 429  # from the same address


def test_a_key_has_so_many_requests_a_minute(settings: LazySettings) -> None:
    settings.MANAGEMENT_REQUESTS_PER_MINUTE = 2
    user = UserFactory(superuser=True)
    one, other = key_of(user), key_of(user)
    assert [status_of(one) for _ in range(3)] == [200, 200, 429]
    assert status_of(other) == 200


def refusals_told() -> list[tuple[str, str, dict[str, Any]]]:
    events = AuditEvent.objects.filter(action="api_key.refused").order_by("sequence")
    return list(events.values_list("actor", "subject_name", "details"))


def test_a_guess_is_audited_without_what_was_sent() -> None:
    _, guess = generate(prefix=PREFIX)
    for plain in (guess, guess, "sk-mg-nothing", "a password"):
        assert status_of(plain) == 401
    assert refusals_told() == [("stranger", "", {"refused": 1})]  # the others follow with the next
    event = AuditEvent.objects.get()
    assert (event.subject_type, event.address) == ("apikey", "127.0.0.1")
    for secret in (guess, guess[-4:], "nothing", "password"):
        assert secret not in stored_text()


def test_a_key_that_has_died_is_named_when_it_is_tried() -> None:
    user = UserFactory(superuser=True, username="ada")
    plain = key_of(user)
    ApiKey.objects.update(revoked_at=timezone.now())
    assert status_of(plain) == 401
    assert refusals_told() == [("stranger", "tests", {"refused": 1, "user": "ada"})]
    assert AuditEvent.objects.latest("sequence").subject_id == str(ApiKey.objects.get().pk)


def test_who_sends_no_key_or_may_not_leaves_no_event() -> None:
    Manager(None).call("GET", "/projects")
    assert Manager(key_of(UserFactory())).call("GET", "/projects").status_code == 403
    assert refusals_told() == []
