from importlib import import_module
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.db import connection
from django_otp.plugins.otp_totp.models import TOTPDevice

from llm_proxy_site.people.models import AuthenticatorApp
from tests.factories import UserFactory, stored_text

pytestmark = pytest.mark.django_db
MIGRATION = import_module("llm_proxy_site.people.migrations.0001_authenticator_apps")


def test_secrets_that_are_there_are_encrypted_and_go_on() -> None:
    ada, grace = UserFactory(), UserFactory()
    TOTPDevice.objects.create(user=ada, name="app", key="ab" * 20, drift=1, last_t=77)
    TOTPDevice.objects.create(user=grace, name="app", confirmed=False)
    MIGRATION.encrypt_secrets(apps, SimpleNamespace(connection=connection))
    device = AuthenticatorApp.objects.get(user=ada)
    assert (device.reveal(), device.confirmed) == (b"\xab" * 20, True)
    assert (device.drift, device.last_step) == (1, 77)
    assert not AuthenticatorApp.objects.get(user=grace).confirmed
    assert not TOTPDevice.objects.exists()
    assert "ab" * 20 not in stored_text()
