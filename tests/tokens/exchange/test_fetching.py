import time
from typing import Any

import pytest

from tests.issuers import Issuer, rsa_jwk
from tokens.exchange import fetching
from tokens.exchange.errors import IssuerUnavailableError
from tokens.exchange.fetching import fetch_keys

DISCOVERY = "/.well-known/openid-configuration"


async def reason(url: str) -> str:
    with pytest.raises(IssuerUnavailableError) as refused:
        await fetch_keys(url)
    return str(refused.value)


async def test_keys_are_found_by_the_discovery_document(issuer: Issuer) -> None:
    keys = await fetch_keys(issuer.url)
    assert [key.key_id for key in keys.keys] == ["rsa", "ec"]
    assert issuer.asked == [DISCOVERY, "/keys"]


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("down", "it answers 500"),
        ("redirect", "it answers 302"),
        ("garbled", "a document of it is no JSON object"),
        ("huge", "a document of it is larger than 512 KiB"),
    ],
)
async def test_an_issuer_that_misbehaves_is_unavailable(issuer: Issuer, fault: str, why: str) -> None:
    issuer.fault = fault
    assert await reason(issuer.url) == why
    assert issuer.asked == [DISCOVERY]


async def test_a_slow_issuer_is_not_waited_for(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "TOTAL_SECONDS", 0.3)
    issuer.fault = "slow"
    began = time.monotonic()
    assert "time" in (await reason(issuer.url)).lower()
    assert time.monotonic() - began < 5


async def test_nobody_there_is_unavailable(settings: Any) -> None:
    settings.EXCHANGE_LOOPBACK_HTTP = True
    assert (await reason("http://127.0.0.1:1")).startswith("it cannot be reached: ConnectError")


async def test_a_discovery_document_of_another_issuer_is_not_believed(issuer: Issuer) -> None:
    issuer.discovery["issuer"] = "https://other.example.com"
    assert await reason(issuer.url) == "its discovery document is another issuer's"


@pytest.mark.parametrize(
    "uri",
    [
        None,
        7,
        "",
        "http://169.254.169.254/latest/meta-data",
        "http://example.com/keys",
        "file:///etc/passwd",
        "ftp://127.0.0.1/keys",
        "https://user@example.com/keys",
        "https://example.com:port/keys",
        "https://",
        "/keys",
        "https://example.com/" + "a" * 255,
    ],
)
async def test_keys_are_fetched_from_no_place_but_https(issuer: Issuer, uri: Any) -> None:
    issuer.discovery["jwks_uri"] = uri
    assert await reason(issuer.url) == "its discovery document names no https URL of its keys"
    assert issuer.asked == [DISCOVERY]


async def test_plain_http_is_no_place_unless_it_is_permitted(issuer: Issuer, settings: Any) -> None:
    settings.EXCHANGE_LOOPBACK_HTTP = False
    assert "https" in await reason(issuer.url)
    assert issuer.asked == []


@pytest.mark.parametrize("host", ["a" * 64 + ".example.com", "a..example.com", "[::1", "127.0.0.1:1"])
async def test_an_address_that_leads_nowhere_is_unavailable(issuer: Issuer, host: str) -> None:
    issuer.discovery["jwks_uri"] = f"https://{host}/keys"
    assert "it cannot be reached" in (why := await reason(issuer.url)) or "names no https URL" in why


async def test_authorities_that_cannot_be_read_are_told(issuer: Issuer, settings: Any) -> None:
    settings.EXCHANGE_CA_FILE = "/nowhere/ca.pem"
    fetching._trust.cache_clear()
    assert (await reason(issuer.url)).startswith("it cannot be reached: FileNotFoundError")


@pytest.mark.parametrize("keys", [[], "rsa", [rsa_jwk("rsa", use="enc")]])
async def test_an_issuer_without_usable_keys_is_unavailable(issuer: Issuer, keys: Any) -> None:
    issuer.keys = keys
    assert await reason(issuer.url) == "it has no usable keys"


async def test_a_document_that_is_no_object_is_none(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issuer, "document", lambda path: ["keys"])
    assert await reason(issuer.url) == "a document of it is no JSON object"
