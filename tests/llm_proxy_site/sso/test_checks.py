from typing import Any

import pytest
from pytest_django import Settings

from llm_proxy_site.sso.checks import check_sso
from tests.openid_provider import OpenIdProvider

SOUND = {
    "SSO_ISSUER": "https://id.example.com",
    "SSO_CLIENT_ID": "llm-proxy",
    "SSO_CLIENT_SECRET": "secret@",
    "SSO_VIEWERS": ["llm-viewers"],
}


def ids(settings: Settings, **changes: Any) -> list[str | None]:
    for name, value in (SOUND | changes).items():
        setattr(settings, name, value)
    messages = check_sso(None)
    assert all(message.hint for message in messages)
    assert "secret@" not in str(messages)
    return [message.id for message in messages]


def test_without_single_sign_on_nothing_is_wrong() -> None:
    assert check_sso(None) == []


def test_sound_configuration_is_sound(settings: Settings, provider: OpenIdProvider) -> None:
    assert ids(settings) == ids(settings, SSO_ISSUER=provider.url) == []


@pytest.mark.parametrize(
    ("name", "value", "check_id"),
    [
        ("SSO_ISSUER", "", "llm_proxy.E040"),
        ("SSO_CLIENT_ID", "", "llm_proxy.E040"),
        ("SSO_CLIENT_SECRET", "", "llm_proxy.E040"),
        ("SSO_ISSUER", "id.example.com", "llm_proxy.E041"),
        ("SSO_ISSUER", "http://id.example.com", "llm_proxy.E041"),
        ("SSO_ISSUER", "https://ada:secret@id.example.com", "llm_proxy.E041"),
        ("SSO_VIEWERS", [], "llm_proxy.E043"),
        ("SSO_SCOPES", "email openid-connect", "llm_proxy.E044"),
        ("SSO_CA_FILE", "/nowhere/ca.pem", "llm_proxy.E045"),
        ("SSO_VIEWERS", ["*"], "llm_proxy.W040"),
    ],
)
def test_each_fault_has_an_id_and_a_hint(settings: Settings, name: str, value: object, check_id: str) -> None:
    assert ids(settings, **{name: value}) == [check_id]


def test_only_a_way_that_is_not_there_lets_nobody_in(settings: Settings) -> None:
    settings.SSO_ONLY = True
    assert [message.id for message in check_sso(None)] == ["llm_proxy.E042"]
