import re
import time
from base64 import b32decode
from datetime import timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_otp.oath import TOTP
from pytest_django import Settings
from structlog.testing import capture_logs

from audit.models import AuditEvent
from llm_proxy_site.people.models import AuthenticatorApp
from tests.commands import run_json
from tests.factories import UserFactory, stored_text

pytestmark = pytest.mark.django_db
LOGIN, INDEX, PAGE = reverse("admin:login"), reverse("admin:index"), reverse("admin:second_factor")
PASSWORD = "correct horse battery staple"


@pytest.fixture
def ada(client: Client) -> Client:
    """Signed in with her password; she has no second factor yet."""
    UserFactory(superuser=True, username="ada", password=PASSWORD)
    sign_in(client)
    return client


def sign_in(client: Client, code: str = "") -> Any:
    return client.post(LOGIN, {"username": "ada", "password": PASSWORD, "code": code, "next": INDEX})


def code(secret: str, *, later: int = 0) -> str:
    """Of a number of steps from now: each is taken once."""
    padded = secret + "=" * (-len(secret) % 8)
    totp = TOTP(b32decode(padded))
    totp.time = time.time() + 30 * later
    return f"{totp.token():06d}"


def begin(client: Client) -> str:
    html = client.post(PAGE, {"act": "begin"}).content.decode()
    (secret,) = re.findall(r"<pre>([A-Z2-7]+)</pre>", html)
    assert f"secret={secret}" in html
    return str(secret)


def enrol(client: Client) -> tuple[str, list[str]]:
    """The secret and the recovery codes."""
    secret = begin(client)
    html = client.post(PAGE, {"act": "confirm", "code": code(secret, later=-1)}).content.decode()
    return secret, re.findall(r"(?:<pre>|\n)((?:[a-z2-7]{4}-){3}[a-z2-7]{4})(?=\n)", html)


def actions() -> list[str]:
    return list(AuditEvent.objects.order_by("sequence").values_list("action", flat=True))


def test_secret_is_shown_once_and_counts_once_a_code_was_given(ada: Client) -> None:
    secret = begin(ada)
    assert secret not in ada.get(PAGE).content.decode()
    assert "not right" in ada.post(PAGE, {"act": "confirm", "code": "abc"}).content.decode()
    assert sign_in(Client()).headers["location"] == INDEX


def test_secret_is_stored_encrypted(ada: Client, settings: Settings) -> None:
    secret, _ = enrol(ada)
    plain = b32decode(secret)
    stored = stored_text()
    assert AuthenticatorApp.objects.get().reveal() == plain
    assert not any(text in stored for text in (secret, plain.hex(), str(plain)))


def test_secret_that_no_key_decrypts_lets_nobody_in(ada: Client, settings: Settings) -> None:
    secret, _ = enrol(ada)
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    with capture_logs() as logs:
        assert "not right" in sign_in(Client(), code(secret)).content.decode()
    assert "no key in ENCRYPTION_KEYS decrypts a second factor" in [line["event"] for line in logs]


def test_secret_is_encrypted_anew_with_the_upstream_keys(ada: Client, settings: Settings) -> None:
    secret, _ = enrol(ada)
    new = Fernet.generate_key().decode()
    settings.ENCRYPTION_KEYS = [new, *settings.ENCRYPTION_KEYS]
    assert run_json("rotate_encryption_keys") == {"rotated": 1, "secrets": [1, 0], "unreadable": 0}
    assert actions()[-1] == "second_factor.reencrypted"
    settings.ENCRYPTION_KEYS = [new]
    assert sign_in(Client(), code(secret)).headers["location"] == INDEX


def test_secret_can_be_read_by_a_camera(ada: Client) -> None:
    html = ada.post(PAGE, {"act": "begin"}).content.decode()
    (svg,) = re.findall(r'<figure class="qr-code">(<svg.*?</svg>)</figure>', html, re.DOTALL)
    assert not re.search(r"style=|<style|href|http", svg)
    assert 'fill="#fff"' in svg


def test_who_guesses_must_wait(ada: Client) -> None:
    secret, _ = enrol(ada)
    assert "not right" in sign_in(Client(), "123456").content.decode()
    AuthenticatorApp.objects.update(throttling_failure_count=8)
    assert "not right" in sign_in(Client(), code(secret)).content.decode()
    AuthenticatorApp.objects.update(throttling_failure_timestamp=timezone.now() - timedelta(minutes=3))
    assert sign_in(Client(), code(secret)).headers["location"] == INDEX


@pytest.mark.parametrize("typed", ["000000 1", "१२३४५६", "-12345", "1e5", ""])
def test_what_is_no_code_is_refused(ada: Client, typed: str) -> None:
    enrol(ada)
    assert sign_in(Client(), typed).status_code == 200


def test_who_has_one_signs_in_with_password_and_code(ada: Client) -> None:
    secret, _ = enrol(ada)
    assert ada.get(INDEX).status_code == 200
    stranger = Client()
    assert "code from your app" in sign_in(stranger).content.decode()
    assert stranger.get(INDEX).status_code == 302
    assert sign_in(stranger, code(secret)).headers["location"] == INDEX
    assert stranger.get(INDEX).status_code == 200
    assert actions() == [
        "user.signed_in",
        "user.second_factor_added",
        "user.sign_in_failed",
        "user.signed_in",
    ]


def test_a_code_is_good_once(ada: Client) -> None:
    secret, _ = enrol(ada)
    typed = code(secret)
    assert sign_in(Client(), typed).status_code == 302
    assert "not right" in sign_in(Client(), typed).content.decode()


def test_sessions_from_before_must_sign_in_again(ada: Client) -> None:
    elsewhere = Client()
    sign_in(elsewhere)
    enrol(ada)
    assert elsewhere.get(INDEX).headers["location"].startswith(LOGIN)
    assert elsewhere.get(PAGE).headers["location"].startswith(LOGIN)


def test_recovery_code_is_good_once_and_stored_as_a_digest(ada: Client) -> None:
    _, codes = enrol(ada)
    assert len(codes) == 10
    stored = stored_text()
    assert not any(text in stored for code in codes for text in (code, code.replace("-", "")))
    assert sign_in(Client(), codes[0]).status_code == 302
    assert AuditEvent.objects.latest("sequence").details == {"by": "recovery code"}
    assert "not right" in sign_in(Client(), codes[0]).content.decode()


def test_code_of_another_person_is_none(ada: Client) -> None:
    other = Client()
    other.force_login(UserFactory(superuser=True, username="grace"))
    secret, codes = enrol(other)
    enrol(ada)
    assert "not right" in sign_in(Client(), code(secret)).content.decode()
    assert "not right" in sign_in(Client(), codes[0]).content.decode()


def test_it_is_given_up_with_a_code_only(ada: Client) -> None:
    secret, _ = enrol(ada)
    ada.post(PAGE, {"act": "begin"})
    ada.post(PAGE, {"act": "remove", "code": "abcd"})
    assert AuthenticatorApp.objects.get().confirmed
    ada.post(PAGE, {"act": "remove", "code": code(secret)})
    assert not AuthenticatorApp.objects.exists()
    assert actions()[-1] == "user.second_factor_removed"
    assert ada.get(INDEX).status_code == 200


def test_where_it_is_required_nobody_gets_further_without(ada: Client, settings: Settings) -> None:
    settings.SECOND_FACTOR_REQUIRED = True
    answer = ada.get(reverse("admin:projects_project_changelist"), follow=True)
    assert answer.redirect_chain[-1] == (PAGE, 302)
    assert "Everybody who works here needs a second factor." in answer.content.decode()
    enrol(ada)
    assert ada.get(INDEX).status_code == 200


def test_page_is_for_those_who_work_here(client: Client) -> None:
    assert client.get(PAGE).headers["location"] == f"{LOGIN}?next={PAGE}"
    client.force_login(UserFactory())
    assert client.get(PAGE).headers["location"] == f"{LOGIN}?next={PAGE}"


def test_admins_and_the_command_help_who_has_lost_theirs(
    ada: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    for remove in (lambda: call_command("remove_second_factor", "ada"), lambda: by_admin(ada)):
        enrol(ada)
        remove()
        assert not AuthenticatorApp.objects.exists()
        assert actions()[-1] == "user.second_factor_removed"
    assert capsys.readouterr().out == "The second factor was removed: ada.\n"
    with pytest.raises(CommandError, match="nobody named grace"):
        call_command("remove_second_factor", "grace")


def by_admin(client: Client) -> None:
    user = AuthenticatorApp.objects.get().user
    chosen = {"action": "remove_second_factor", "_selected_action": [user.pk]}
    client.post(reverse("admin:auth_user_changelist"), chosen)
