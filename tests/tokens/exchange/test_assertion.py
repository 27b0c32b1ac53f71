import base64
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.issuers import AUDIENCE, Issuer, ec_jwk, rsa_jwk, rsa_key
from tokens.exchange.assertion import Assertion, read_origin, verify
from tokens.exchange.errors import RefusedError
from tokens.exchange.jwks import read_keys

KEYS = read_keys({"keys": [rsa_jwk("rsa"), ec_jwk("ec")]})
issuer = Issuer("https://issuer.example.com")


def read(text: str) -> Assertion:
    origin = read_origin(text)
    key = KEYS.find(origin.key_id)
    assert key is not None
    return verify(text, origin, key)


def forged(header: dict[str, Any], claims: Any, signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


@pytest.mark.parametrize("key", ["rsa", "ec"])
def test_what_the_issuer_has_signed_is_believed(key: str) -> None:
    assertion = read(issuer.jwt(key, aud=[AUDIENCE, "other"], environment="production"))
    assert (assertion.issuer, assertion.subject) == (issuer.url, "repo:acme/web:ref:refs/heads/main")
    assert assertion.audiences == {AUDIENCE, "other"}
    assert assertion.claims["environment"] == "production"


@pytest.mark.parametrize(
    "text",
    ["", "a.b.c", "not a jwt", "ü.ü.ü", "." * 100, "e30.e30.", "a" * 20_000, "[" * 10_000, "\ud800"],
)
def test_what_is_no_jwt_is_refused(text: str) -> None:
    with pytest.raises(RefusedError):
        read_origin(text)


def test_a_jwt_that_is_nested_without_end_is_refused() -> None:
    nested = base64.urlsafe_b64encode(b'{"iss":' + b"[" * 5000 + b"]" * 5000 + b"}").decode().rstrip("=")
    head = base64.urlsafe_b64encode(b'{"alg":"RS256"}').decode().rstrip("=")
    with pytest.raises(RefusedError):
        read_origin(f"{head}.{nested}.AAAA")


@pytest.mark.parametrize("algorithm", ["none", "None", "HS256", "HS512", "RSA", "", None, ["RS256"]])
def test_only_signatures_of_private_keys_are_taken(algorithm: object) -> None:
    with pytest.raises(RefusedError):
        read_origin(forged({"alg": algorithm, "kid": "rsa"}, issuer.claims()))


def test_a_public_key_is_no_shared_secret() -> None:
    """The classic confusion: HMAC with the text of the RSA key."""
    pem = rsa_key("rsa").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(jwt.InvalidKeyError):
        jwt.encode(issuer.claims(), pem, "HS256")
    import hashlib
    import hmac

    signed = forged({"alg": "HS256", "kid": "rsa"}, issuer.claims()).rpartition(".")[0]
    mac = hmac.digest(pem, signed.encode(), hashlib.sha256)
    with pytest.raises(RefusedError):
        read(f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}")


def test_a_key_is_used_with_its_own_algorithms_only() -> None:
    text = jwt.encode(issuer.claims(), rsa_key("rsa"), "RS256", headers={"kid": "ec"})
    with pytest.raises(RefusedError, match="not valid"):
        read(text)


def test_keys_in_the_jwt_itself_are_not_used() -> None:
    other = rsa_jwk("other")
    headers = {
        "kid": "rsa",
        "jwk": other,
        "jku": "https://evil.example.com",
        "x5u": "https://evil.example.com",
    }
    with pytest.raises(RefusedError):
        read(jwt.encode(issuer.claims(), rsa_key("other"), "RS256", headers=headers))


def test_a_changed_claim_breaks_the_signature() -> None:
    head, _, signature = issuer.jwt().split(".")
    claims = forged({}, issuer.claims(sub="repo:evil/web")).split(".")[1]
    with pytest.raises(RefusedError, match="not valid"):
        read(f"{head}.{claims}.{signature}")


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"exp": -61}, "has expired"),
        ({"nbf": 90}, "not valid yet"),
        ({"iat": 90}, "not valid yet"),
        ({"exp": 25 * 3600}, "expires in more than 24 hours"),
        ({"exp": 10**30}, "expires in more than 24 hours"),
    ],
)
def test_times_are_kept_to(claims: dict[str, int], message: str) -> None:
    now = int(time.time())
    with pytest.raises(RefusedError, match=message):
        read(issuer.jwt(**{name: now + seconds for name, seconds in claims.items()}))


def test_clocks_may_differ_by_a_minute() -> None:
    now = int(time.time())
    assert read(issuer.jwt(exp=now - 50, iat=now - 300))
    assert read(issuer.jwt(nbf=now + 50, iat=now + 50))


@pytest.mark.parametrize("claim", ["sub", "aud", "exp", "iat"])
def test_what_must_be_there_is_missed(claim: str) -> None:
    with pytest.raises(RefusedError, match=f"has no `{claim}`"):
        read(issuer.jwt(**{claim: None}))


@pytest.mark.parametrize("claims", [{"iss": None}, {"iss": 7}, {"iss": ""}, {"iss": "h" * 256}])
def test_an_issuer_that_is_none_is_refused(claims: dict[str, Any]) -> None:
    with pytest.raises(RefusedError):
        read_origin(forged({"alg": "RS256"}, issuer.claims(**claims)))


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": 7},
        {"sub": ""},
        {"sub": "a\nb"},
        {"sub": "a\x00"},
        {"sub": "a" * 256},
        {"exp": "soon"},
        {"exp": float("inf")},
        {"iat": "x"},
    ],
)
def test_claims_of_odd_kinds_are_refused(claims: dict[str, Any]) -> None:
    text = jwt.api_jws.encode(
        json.dumps(issuer.claims(**claims)).encode(), rsa_key("rsa"), "RS256", headers={"kid": "rsa"}
    )
    with pytest.raises(RefusedError):
        read(text)


def test_a_jwt_is_known_again_by_its_id_or_by_what_is_signed() -> None:
    assert read(issuer.jwt(jti="one")).digest == read(issuer.jwt("ec", jti="one", sub="other")).digest
    assert read(issuer.jwt(jti="one")).digest != read(issuer.jwt(jti="two")).digest
    other = Issuer("https://other.example.com")
    assert read(issuer.jwt(jti="one")).digest != read(other.jwt(jti="one")).digest


def test_a_jwt_without_id_is_known_again_whichever_of_its_signatures_it_has() -> None:
    """ECDSA has several for one text."""
    claims = issuer.claims() | {"jti": None}
    one, other = issuer.jwt("ec", **claims), issuer.jwt("ec", **claims)
    assert one != other
    assert read(one).digest == read(other).digest != read(issuer.jwt("rsa", **claims)).digest
