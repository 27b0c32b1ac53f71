from typing import Any
from uuid import uuid4

import httpx
import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from audit.models import AuditEvent
from tests.factories import UserFactory, stored_text
from tests.live import LiveProxy

LOGIN, LOGOUT, INDEX = reverse("admin:login"), reverse("admin:logout"), reverse("admin:index")
PASSWORD = "correct horse battery staple"


@pytest.fixture(autouse=True)
def ada(db: None) -> None:
    UserFactory(superuser=True, username="ada", password=PASSWORD)


def sign_in(client: Client, password: str = PASSWORD, *, name: str = "ada", **headers: Any) -> Any:
    return client.post(LOGIN, {"username": name, "password": password, "next": INDEX}, **headers)


def events() -> list[tuple[str, str, str]]:
    return list(AuditEvent.objects.order_by("id").values_list("action", "actor", "subject_name"))


def test_signing_in_and_out_is_audited_with_address_and_request(client: Client) -> None:
    answer = sign_in(client, REMOTE_ADDR="192.0.2.7")
    client.post(LOGOUT)
    assert answer.headers["location"] == INDEX
    assert events() == [("user.signed_in", "user:ada", "ada"), ("user.signed_out", "user:ada", "ada")]
    event = AuditEvent.objects.order_by("id")[0]
    assert (event.address, str(event.request_id)) == (
        "192.0.2.7",
        answer.headers["x-llm-proxy-request-id"],
    )


def test_sign_out_of_a_stranger_leaves_no_event(client: Client) -> None:
    client.post(LOGOUT)
    assert events() == []


def test_failure_is_audited_without_what_was_typed(client: Client) -> None:
    sign_in(client, "wrong-password")
    sign_in(client, name="my-password-in-the-wrong-field")
    assert events() == [("user.sign_in_failed", "stranger", "ada"), ("user.sign_in_failed", "stranger", "")]
    for typed in ("wrong-password", "my-password-in-the-wrong-field"):
        assert typed not in stored_text()


@pytest.mark.parametrize(
    "form", [{}, {"username": "ada"}, {"password": "x"}, {"username": "", "password": ""}]
)
def test_empty_fields_are_told(client: Client, form: dict[str, str]) -> None:
    answer = client.post(LOGIN, form)
    assert answer.status_code == 200
    assert "This field is required." in answer.content.decode()


def test_made_up_names_do_not_fill_the_trail_and_somebodys_is_told_each_time(client: Client) -> None:
    for number in range(5):
        sign_in(client, name=f"guess{number}")
        sign_in(client, "wrong")
    names = [name for _, _, name in events()]
    assert (names.count(""), names.count("ada")) == (1, 5)


def test_session_is_a_new_one_after_signing_in(client: Client) -> None:
    session = client.session
    session["foisted"] = True
    session.save()
    before = client.cookies["sessionid"].value
    sign_in(client)
    cookie = client.cookies["sessionid"]
    assert cookie.value != before
    assert (cookie["httponly"], cookie["samesite"], cookie["max-age"]) == (True, "Lax", 12 * 3600)


def test_nobody_is_sent_to_another_site(client: Client) -> None:
    form = {"username": "ada", "password": PASSWORD, "next": "https://evil.test/"}
    assert "evil" not in client.post(LOGIN, form).headers["location"]


def test_too_many_attempts_under_a_name_are_refused_with_the_right_password_too(
    client: Client, settings: Settings
) -> None:
    settings.SIGN_IN_MAX_PER_NAME = 2
    for _ in range(2):
        assert sign_in(client, "wrong").status_code == 200
    answer = sign_in(client, name="ADA", REMOTE_ADDR="192.0.2.9")
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 24 * 3600
    assert "Too many attempts" in answer.content.decode()
    assert INDEX not in answer.headers.get("location", "")
    assert len(events()) == 2


def test_too_many_attempts_from_an_address_are_refused_whatever_the_name(
    client: Client, settings: Settings
) -> None:
    settings.SIGN_IN_MAX_PER_ADDRESS = 2
    for number in range(2):
        sign_in(client, "wrong", name=f"user{number}")
    assert sign_in(client).status_code == 429
    assert sign_in(client, REMOTE_ADDR="192.0.2.9").status_code == 302


def test_address_behind_a_front_is_that_of_its_client(client: Client, settings: Settings) -> None:
    settings.TRUSTED_PROXY_COUNT = settings.SIGN_IN_MAX_PER_ADDRESS = 1
    first = {"HTTP_X_FORWARDED_FOR": "6.6.6.6, 2001:db8::1"}
    same = {"HTTP_X_FORWARDED_FOR": "7.7.7.7, 2001:db8::2"}
    other = {"HTTP_X_FORWARDED_FOR": "2001:db8:0:1::1"}
    statuses = [sign_in(client, "wrong", **headers).status_code for headers in (first, same, other)]
    assert statuses == [200, 429, 200]
    addresses = AuditEvent.objects.order_by("id").values_list("address", flat=True)
    assert list(addresses) == ["2001:db8::1", "2001:db8:0:1::1"]


def test_attempts_are_counted_in_redis_where_there_is_one(
    client: Client, settings: Settings, redis_url: str
) -> None:
    use_redis(settings, redis_url)
    settings.SIGN_IN_MAX_PER_NAME = 1
    assert [sign_in(client, "wrong").status_code for _ in range(2)] == [200, 429]


def test_people_sign_in_while_redis_is_away(client: Client, settings: Settings) -> None:
    use_redis(settings, "redis://127.0.0.1:1/0")
    assert sign_in(client).status_code == 302


def use_redis(settings: Settings, url: str) -> None:
    backend = "django.core.cache.backends.redis.RedisCache"
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": url, "KEY_PREFIX": uuid4().hex}}


def test_own_password_is_changed_with_a_trace(client: Client) -> None:
    sign_in(client)
    new = "another good password"
    form = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    client.post(reverse("admin:password_change"), form)
    assert events()[-1] == ("user.password_changed", "user:ada", "ada")
    assert new not in stored_text()


@pytest.mark.parametrize(
    "private_live", [{"USE_X_FORWARDED_PROTO": "true", "HSTS_SECONDS": "60"}], indirect=True
)
def test_behind_a_tls_front_cookies_are_secure_and_addresses_are_https(private_live: LiveProxy) -> None:
    with httpx.Client(base_url=private_live.url, headers={"X-Forwarded-Proto": "https"}) as http:
        page = http.get(LOGIN)
        form = {"username": "ada", "password": PASSWORD, "csrfmiddlewaretoken": page.cookies["csrftoken"]}
        origin = {"Origin": private_live.url.replace("http:", "https:"), "Cookie": cookies_of(page)}
        answer = http.post(LOGIN, data=form, headers=origin)
    assert page.headers["strict-transport-security"] == "max-age=60"
    assert answer.status_code == 302
    assert all("Secure" in cookie for cookie in answer.headers.get_list("set-cookie"))


def test_without_a_front_one_signs_in_over_http_and_who_claims_one_is_not_believed(live: LiveProxy) -> None:
    with httpx.Client(base_url=live.url, headers={"X-Forwarded-Proto": "https"}) as http:
        page = http.get(LOGIN)
        form = {"username": "ada", "password": PASSWORD, "csrfmiddlewaretoken": page.cookies["csrftoken"]}
        answer = http.post(LOGIN, data=form, headers={"Origin": live.url})
    assert answer.status_code == 302
    assert not any("Secure" in cookie for cookie in answer.headers.get_list("set-cookie"))
    assert "strict-transport-security" not in page.headers
    assert events() == [("user.signed_in", "user:ada", "ada")]
    assert AuditEvent.objects.get().address == "127.0.0.1"


def cookies_of(page: httpx.Response) -> str:
    """Secure ones too, which httpx does not send over plain HTTP."""
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in page.cookies.jar)
