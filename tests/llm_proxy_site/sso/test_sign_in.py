"""Who comes in by the provider, and as whom."""

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from audit.models import AuditEvent
from llm_proxy_site.people import second_factor
from llm_proxy_site.people.models import AuthenticatorApp
from llm_proxy_site.sso.models import Identity
from projects.access import ADMIN, OPERATOR, VIEWER
from tests.factories import UserFactory, stored_text
from tests.issuers import ec_jwk
from tests.llm_proxy_site.sso.conftest import MODEL_BACKEND
from tests.llm_proxy_site.sso.flow import CALLBACK, INDEX, START, events, is_signed_in, sign_in, way_back
from tests.openid_provider import CLIENT_SECRET, OpenIdProvider

pytestmark = pytest.mark.django_db
LOGIN = reverse("admin:login")


def roles(user: User) -> list[str]:
    return sorted(user.groups.values_list("name", flat=True))


def test_somebody_new_gets_an_account_with_the_mapped_role_and_nothing_more(
    client: Client, provider: OpenIdProvider
) -> None:
    answer = sign_in(client)
    assert (answer.status_code, answer.headers["location"]) == (302, INDEX)
    user = User.objects.get()
    assert (user.username, user.email, roles(user)) == ("ada@example.com", "ada@example.com", [VIEWER])
    assert (user.is_staff, user.is_superuser, user.has_usable_password()) == (True, False, False)
    assert not user.user_permissions.exists()
    assert is_signed_in(client)


def test_all_that_happened_is_audited_without_a_secret(client: Client, provider: OpenIdProvider) -> None:
    back = way_back(client)
    client.get(back)
    actor = f"oidc:{provider.url}#248289761001"
    assert events() == [
        ("user.added", actor, "ada@example.com"),
        ("user.identity_linked", actor, "ada@example.com"),
        ("user.changed", actor, "ada@example.com"),
        ("user.signed_in", "user:ada@example.com", "ada@example.com"),
    ]
    changed, signed_in = AuditEvent.objects.order_by("sequence")[2:]
    assert changed.details == {"groups": {"before": [], "after": [VIEWER]}}
    assert (signed_in.details["by"], signed_in.address) == ("single sign-on", "127.0.0.1")
    for secret in (CLIENT_SECRET, "access-", back.partition("code=")[2][:22]):
        assert secret not in stored_text()


def test_session_is_a_new_one_and_the_answer_good_for_one_time(
    client: Client, provider: OpenIdProvider
) -> None:
    back = way_back(client)
    before = client.cookies["sessionid"].value
    client.get(back)
    assert client.cookies["sessionid"].value != before
    assert client.get(back).status_code == 400


def test_the_same_person_is_known_again_by_subject_whatever_their_address(
    client: Client, provider: OpenIdProvider
) -> None:
    sign_in(client)
    provider.person |= {"email": "lovelace@example.com", "preferred_username": "root"}
    sign_in(Client())
    assert User.objects.get().username == "ada@example.com"
    assert Identity.objects.get().subject == "248289761001"


def test_roles_are_mapped_anew_at_each_sign_in_and_other_groups_stay(
    client: Client, provider: OpenIdProvider
) -> None:
    sign_in(client)
    user = User.objects.get()
    user.groups.add(Group.objects.create(name="auditors"))
    for groups, role in (
        (["llm-operators", "llm-viewers"], OPERATOR),
        (["llm-viewers", "llm-admins"], ADMIN),
        ("llm-viewers", VIEWER),
    ):
        provider.person["groups"] = groups
        sign_in(client)
        assert roles(user) == sorted(["auditors", role])
    change = AuditEvent.objects.filter(action="user.changed").latest("sequence")
    assert change.details == {"groups": {"before": [ADMIN, "auditors"], "after": ["auditors", VIEWER]}}


def test_who_has_lost_their_role_is_refused_and_sessions_elsewhere_can_do_nothing(
    client: Client, provider: OpenIdProvider
) -> None:
    sign_in(client)
    usage = reverse("admin:usage_usagerecord_changelist")
    assert client.get(usage).status_code == 200
    provider.person["groups"] = ["cooks"]
    assert sign_in(Client()).status_code == 403
    assert client.get(usage).status_code == 403


def test_account_with_the_verified_address_is_linked_once(client: Client, provider: OpenIdProvider) -> None:
    ada = UserFactory(role=OPERATOR, username="ada", email="Ada@Example.com")
    sign_in(client)
    assert (Identity.objects.get().user, roles(ada)) == (ada, [VIEWER])
    provider.person["sub"] = "somebody else, who was given the address"
    assert sign_in(Client()).status_code == 403
    assert User.objects.count() == 1


@pytest.mark.parametrize("verified", [False, None, "true", 1])
def test_unverified_address_matches_nobody(
    client: Client, provider: OpenIdProvider, verified: object
) -> None:
    root = UserFactory(superuser=True, username="ada", email="ada@example.com")
    provider.person["email_verified"] = verified
    assert sign_in(client).status_code == 302
    new = User.objects.exclude(pk=root.pk).get()
    assert (new.username, new.email, new.is_superuser) == ("ada-2", "", False)
    assert Identity.objects.get().user == new


def test_superuser_is_not_matched_by_a_verified_address_either(
    client: Client, provider: OpenIdProvider
) -> None:
    UserFactory(superuser=True, username="root", email="ada@example.com")
    assert sign_in(client).status_code == 403
    assert not Identity.objects.exists()
    assert User.objects.count() == 1


def test_claims_can_come_from_userinfo(client: Client, provider: OpenIdProvider) -> None:
    provider.userinfo = provider.person | {"groups": ["llm-operators"]}
    sign_in(client)
    assert roles(User.objects.get()) == [OPERATOR]


def test_claim_can_be_a_member_of_another(
    client: Client, provider: OpenIdProvider, settings: Settings
) -> None:
    settings.SSO_ROLE_CLAIM = "realm_access.roles"
    provider.person["realm_access"] = {"roles": ["llm-admins"]}
    sign_in(client)
    assert roles(User.objects.get()) == [ADMIN]


def test_anybody_can_have_a_role(client: Client, provider: OpenIdProvider, settings: Settings) -> None:
    settings.SSO_VIEWERS, settings.SSO_EMAIL_DOMAINS = ["*"], ["EXAMPLE.com"]
    del provider.person["groups"]
    sign_in(client)
    assert roles(User.objects.get()) == [VIEWER]


def test_secret_is_sent_as_the_provider_wants_it(client: Client, provider: OpenIdProvider) -> None:
    provider.discovery["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    assert sign_in(client).status_code == 302


def test_provider_can_sign_with_another_algorithm_and_change_its_key(
    client: Client, provider: OpenIdProvider
) -> None:
    provider.discovery["id_token_signing_alg_values_supported"] = ["ES256", "EdDSA"]
    provider.key = "ec"
    assert sign_in(client).status_code == 302
    provider.keys, provider.key = [ec_jwk("ec-of-tomorrow")], "ec-of-tomorrow"
    assert sign_in(Client()).status_code == 302


def test_other_keys_of_the_provider_do_no_harm(client: Client, provider: OpenIdProvider) -> None:
    provider.keys += [{"kty": "AKP", "kid": "new", "alg": "ML-DSA-44", "pub": "AA"}, {"kty": "RSA"}]
    assert sign_in(client).status_code == 302


@pytest.mark.parametrize("page", ["/admin/tokens/accesstoken/?q=a%20b", INDEX])
def test_one_comes_back_to_where_one_wanted_to_go(
    client: Client, provider: OpenIdProvider, page: str
) -> None:
    assert sign_in(client, next=page).headers["location"] == page


@pytest.mark.parametrize(
    "page", ["https://evil.test/", "//evil.test/", r"/\evil.test", "javascript:alert(1)", "http:///evil.test"]
)
def test_nobody_is_sent_to_another_site(client: Client, provider: OpenIdProvider, page: str) -> None:
    assert sign_in(client, next=page).headers["location"] == INDEX


def test_behind_a_tls_front_that_says_nothing_the_way_back_is_https(
    client: Client, provider: OpenIdProvider, settings: Settings
) -> None:
    settings.SECURE_COOKIES = True
    assert "redirect_uri=https%3A%2F%2Ftestserver%2Fadmin%2Fsso%2F" in client.get(START).headers["location"]


def test_second_factor_is_the_providers_matter(
    client: Client, provider: OpenIdProvider, settings: Settings
) -> None:
    settings.SECOND_FACTOR_REQUIRED = True
    sign_in(client)
    assert is_signed_in(client)
    second_factor.begin(User.objects.get())
    AuthenticatorApp.objects.update(confirmed=True)
    assert is_signed_in(client)


def test_sign_in_page_has_both_ways_or_only_this_one(
    client: Client, provider: OpenIdProvider, settings: Settings
) -> None:
    settings.SSO_NAME = "Example <ID>"
    page = client.get(LOGIN, {"next": "/admin/live/"}).content.decode()
    assert f'href="{START}?next=/admin/live/"' in page
    assert "Sign in with Example &lt;ID&gt;" in page
    assert "password" in page
    settings.SSO_ONLY = True
    page = client.get(LOGIN).content.decode()
    assert START in page
    assert "password" not in page


def test_with_this_way_only_no_password_opens_anything_and_sessions_of_passwords_end(
    client: Client, provider: OpenIdProvider, settings: Settings
) -> None:
    settings.AUTHENTICATION_BACKENDS = [MODEL_BACKEND]
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # in no time
    UserFactory(superuser=True, username="root", password="correct horse")
    form = {"username": "root", "password": "correct horse"}
    client.post(LOGIN, form)
    assert is_signed_in(client)
    settings.SSO_ONLY = True
    settings.AUTHENTICATION_BACKENDS = ["llm_proxy_site.sso.backend.SsoBackend"]
    assert not is_signed_in(client)
    assert Client().post(LOGIN, form).status_code == 200
    assert events()[-1] == ("user.sign_in_failed", "stranger", "root")


def test_without_a_provider_there_is_no_such_way(client: Client, settings: Settings) -> None:
    assert settings.AUTHENTICATION_BACKENDS == [MODEL_BACKEND]
    assert [client.get(path).status_code for path in (START, CALLBACK)] == [404, 404]
    assert "Sign in with" not in client.get(LOGIN).content.decode()


def test_unlinked_person_can_be_somebody_else_at_the_provider(
    client: Client, provider: OpenIdProvider
) -> None:
    sign_in(client)
    ada, root = User.objects.get(), UserFactory(superuser=True, username="root")
    admin = Client()
    admin.force_login(root, backend=MODEL_BACKEND)
    page = admin.get(reverse("admin:auth_user_change", args=[ada.pk])).content.decode()
    assert f"{provider.url}#248289761001" in page
    people = reverse("admin:auth_user_changelist")
    admin.post(people, {"action": "unlink_single_sign_on", "_selected_action": [ada.pk]})
    assert events()[-1] == ("user.identity_unlinked", "user:root", "ada@example.com")
    provider.person["sub"] = "new"
    sign_in(client)
    assert Identity.objects.get().user == ada
