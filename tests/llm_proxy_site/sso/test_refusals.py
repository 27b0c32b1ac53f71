"""Who does not come in, and how they are told."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings
from structlog.testing import capture_logs

from audit.models import AuditEvent
from tests.factories import UserFactory
from tests.llm_proxy_site.sso.flow import CALLBACK, START, events, is_signed_in, reason, sign_in, way_back
from tests.openid_provider import CLIENT_SECRET, OpenIdProvider

pytestmark = pytest.mark.django_db


def error_of(answer: Any) -> tuple[int, str]:
    """Its status, and what the page says."""
    note = re.search(r'<p class="errornote" role="alert">(.*?)</p>', answer.content.decode())
    return answer.status_code, note[1] if note else ""


@pytest.mark.parametrize(
    ("forged", "told"),
    [
        ({"nonce": "another"}, "invalid_claim: nonce"),
        ({"nonce": None}, "missing_claim: nonce"),
        ({"aud": "another-client"}, "invalid_claim: aud"),
        ({"aud": "another-client", "azp": "llm-proxy"}, "invalid_claim: aud"),
        ({"aud": ["llm-proxy", "another-client"]}, "missing_claim: azp"),
        ({"iss": "https://evil.test"}, "invalid_claim: iss"),
        ({"exp": 1_700_000_000}, "expired_token"),
        ({"exp": None}, "missing_claim: exp"),
        ({"sub": None}, "missing_claim: sub"),
        ({"sub": ""}, "its subject is no text that can be shown"),
        ({"sub": "a\nb"}, "its subject is no text that can be shown"),
        ({"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, "invalid_claim: at_hash"),
    ],
)
def test_forged_claims_are_refused(
    client: Client, provider: OpenIdProvider, forged: dict[str, Any], told: str
) -> None:
    provider.forged = forged
    assert sign_in(client).status_code == 403
    assert reason().startswith(told)
    assert not User.objects.exists()
    assert not is_signed_in(client)


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("none", "unsupported_algorithm"),
        ("secret", "unsupported_algorithm"),
        ("forged", "bad_signature"),
        ("rsa-of-another", "invalid_key_id"),
    ],
)
def test_what_is_not_signed_by_a_key_of_the_provider_is_refused(
    client: Client, provider: OpenIdProvider, key: str, told: str
) -> None:
    provider.key = key
    assert sign_in(client).status_code == 403
    assert reason() == told
    assert not User.objects.exists()


def test_userinfo_of_somebody_else_is_refused(client: Client, provider: OpenIdProvider) -> None:
    provider.userinfo = {"sub": "another", "groups": ["llm-admins"]}
    assert sign_in(client).status_code == 403
    assert reason() == "userinfo of somebody else"


def test_whether_an_address_is_verified_is_not_taken_from_elsewhere(
    client: Client, provider: OpenIdProvider
) -> None:
    UserFactory(is_staff=True, username="victim", email="victim@example.com")
    provider.userinfo = {"email": "mine@example.com", "email_verified": True, "groups": ["llm-viewers"]}
    provider.forged = {"email": "victim@example.com"}
    sign_in(client)
    assert not User.objects.get(username="victim").identities.exists()


@pytest.mark.parametrize("query", [{}, {"state": "made-up", "code": "x"}, {"error": "access_denied"}])
def test_answer_without_an_attempt_of_this_browser_is_refused(
    client: Client, provider: OpenIdProvider, query: dict[str, str]
) -> None:
    way_back(client)
    status, page = error_of(client.get(CALLBACK, query))
    assert (status, page) == (400, "This answer of the provider belongs to no attempt of yours. Try again.")
    assert events() == [("user.sign_in_failed", "stranger", "")]


def test_answer_to_another_browser_signs_nobody_in(client: Client, provider: OpenIdProvider) -> None:
    """Else one could be signed in to a foreign account unawares."""
    stolen = way_back(Client())
    way_back(client)
    assert client.get(stolen).status_code == 400
    assert not is_signed_in(client)


def test_code_is_of_no_use_without_its_verifier(client: Client, provider: OpenIdProvider) -> None:
    code = way_back(Client()).partition("code=")[2].partition("&")[0]
    own = re.sub(r"code=[^&]+", f"code={code}", way_back(client))
    assert client.get(own).status_code == 403
    assert reason() == "the provider: invalid_grant"


def test_answer_without_a_code_is_refused(client: Client, provider: OpenIdProvider) -> None:
    assert client.get(re.sub(r"code=[^&]+&", "", way_back(client))).status_code == 403


def test_refusal_of_the_provider_is_told_in_our_words(client: Client, provider: OpenIdProvider) -> None:
    provider.denies = "access_denied"
    answer = sign_in(client)
    assert error_of(answer) == (403, "The provider has refused.")
    assert "you may not" not in answer.content.decode()
    assert reason() == "the provider: access_denied"


def test_words_of_strangers_are_not_kept(client: Client, provider: OpenIdProvider) -> None:
    provider.denies = "<script>alert(1)</script>"
    sign_in(client)
    assert reason() == "the provider: an error"


def test_who_has_no_role_is_told_so_and_gets_no_account(client: Client, provider: OpenIdProvider) -> None:
    provider.person["groups"] = ["cooks", 7, None]
    assert error_of(sign_in(client)) == (403, "Your account at the provider gives you no role here.")
    assert not User.objects.exists()
    assert events() == [("user.sign_in_failed", f"oidc:{provider.url}#248289761001", "")]


@pytest.mark.parametrize("off", ["is_active", "is_staff"])
@pytest.mark.parametrize("is_linked", [True, False], ids=["linked", "to be linked"])
def test_who_was_switched_off_stays_out(
    client: Client, provider: OpenIdProvider, off: str, is_linked: bool
) -> None:
    if is_linked:
        sign_in(Client())
    else:
        UserFactory(is_staff=True, username="ada", email="ada@example.com")
    User.objects.update(**{off: False})
    provider.person["groups"] = ["llm-admins"]
    assert error_of(sign_in(client)) == (403, "Your account here is not active. Ask an administrator.")
    assert not User.objects.filter(groups__name="admin").exists()
    assert User.objects.count() == 1


def test_strangers_get_no_account_where_none_are_made(
    client: Client, provider: OpenIdProvider, settings: Settings
) -> None:
    settings.SSO_CREATE_USERS = False
    assert sign_in(client).status_code == 403
    assert (reason(), User.objects.exists()) == ("unknown", False)


@pytest.mark.parametrize("change", [{"email": "ada@example.org"}, {"email_verified": False}, {"email": None}])
def test_only_verified_addresses_of_the_domains_come_in(
    client: Client, provider: OpenIdProvider, settings: Settings, change: dict[str, Any]
) -> None:
    settings.SSO_EMAIL_DOMAINS = ["example.com"]
    sign_in(Client())
    provider.person |= change
    assert sign_in(client).status_code == 403
    assert reason() == "domain"


def test_role_by_address_needs_a_verified_one(
    client: Client, provider: OpenIdProvider, settings: Settings
) -> None:
    settings.SSO_ROLE_CLAIM, settings.SSO_ADMINS = "email", ["ada@example.com"]
    provider.person["email_verified"] = False
    assert sign_in(client).status_code == 403
    provider.person["email_verified"] = True
    assert sign_in(client).status_code == 302


def test_two_accounts_of_one_address_are_a_refusal(client: Client, provider: OpenIdProvider) -> None:
    for name in ("ada", "lovelace"):
        UserFactory(is_staff=True, username=name, email="ada@example.com")
    assert sign_in(client).status_code == 403
    assert reason() == "e-mail address of another account"


def be_down(provider: OpenIdProvider) -> None:
    provider.fault = "down"


def redirect(provider: OpenIdProvider) -> None:
    provider.moves = True


def be_another(provider: OpenIdProvider) -> None:
    provider.discovery["issuer"] = "https://evil.test"


def be_plain(provider: OpenIdProvider) -> None:
    provider.discovery["token_endpoint"] = "http://evil.test/token"


def sign_with_secrets(provider: OpenIdProvider) -> None:
    provider.discovery["id_token_signing_alg_values_supported"] = ["none", "HS256"]


def say_nothing(provider: OpenIdProvider) -> None:
    provider.discovery = {}


@pytest.mark.parametrize(
    "fault",
    [be_down, redirect, be_another, be_plain, sign_with_secrets, say_nothing],
    ids=lambda f: f.__name__,
)
def test_provider_that_cannot_be_used_is_a_clear_page_and_a_line_in_the_log(
    client: Client, provider: OpenIdProvider, fault: Callable[[OpenIdProvider], None]
) -> None:
    fault(provider)
    with capture_logs() as log:
        answer = client.get(START)
    assert answer.status_code == 503
    assert "The sign-in provider does not answer" in answer.content.decode()
    assert [line["log_level"] for line in log] == ["warning"]
    assert CLIENT_SECRET not in str(log)


def test_provider_that_goes_meanwhile_is_no_failure_of_theirs(
    client: Client, provider: OpenIdProvider
) -> None:
    back = way_back(client)
    provider.fault = "down"
    assert client.get(back).status_code == 503
    assert events() == []


def test_wrong_client_secret_is_told_in_the_trail(
    client: Client, provider: OpenIdProvider, settings: Settings
) -> None:
    settings.SSO_CLIENT_SECRET = "wrong"
    assert sign_in(client).status_code == 403
    assert reason() == "the provider: invalid_client"


def test_too_many_attempts_of_an_address_are_refused_whoever_it_is(
    client: Client, provider: OpenIdProvider, settings: Settings
) -> None:
    settings.SIGN_IN_MAX_PER_ADDRESS = 2
    settings.SIGN_IN_MAX_PER_NAME = 1
    assert [client.get(START).status_code for _ in range(3)] == [302, 302, 429]
    assert client.get(CALLBACK, {"state": "x"}).status_code == 429
    assert client.get(START, REMOTE_ADDR="192.0.2.9").status_code == 302
    assert not AuditEvent.objects.exists()


def test_pages_take_no_forms_and_are_kept_by_no_cache(client: Client, provider: OpenIdProvider) -> None:
    assert [client.post(path).status_code for path in (START, CALLBACK)] == [405, 405]
    assert "no-store" in client.get(START).headers["cache-control"]
