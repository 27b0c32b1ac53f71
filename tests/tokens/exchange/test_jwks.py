from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from tests.issuers import ec_jwk, rsa_jwk, rsa_key
from tokens.exchange.jwks import RSA, read_keys


def test_keys_are_found_by_their_id_with_the_algorithms_that_fit_them() -> None:
    keys = read_keys({"keys": [rsa_jwk("rsa"), rsa_jwk("old", alg="RS256"), ec_jwk("ec")]})
    assert [(key.key_id, key.algorithms) for key in keys.keys] == [
        ("rsa", RSA),
        ("old", ("RS256",)),
        ("ec", ("ES256",)),
    ]
    assert keys.find("ec") == keys.keys[2]
    assert keys.find("other") is None


def test_without_an_id_the_key_is_clear_only_where_there_is_one() -> None:
    assert read_keys({"keys": [rsa_jwk("rsa")]}).find("") is not None
    assert read_keys({"keys": [rsa_jwk("rsa"), ec_jwk("ec")]}).find("") is None


def weak() -> dict[str, Any]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505
    return {**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "weak"}


@pytest.mark.parametrize(
    "entry",
    [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "shared"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "shared", "alg": "RS256"},
        {**RSAAlgorithm.to_jwk(rsa_key("private"), as_dict=True), "kid": "private"},
        rsa_jwk("rsa", use="enc"),
        rsa_jwk("rsa", alg="HS256"),
        rsa_jwk("rsa", alg="none"),
        rsa_jwk("rsa", alg="ES256"),
        rsa_jwk("rsa", kid=7),
        rsa_jwk("rsa", n=None),
        rsa_jwk("rsa", n="!"),
        rsa_jwk("rsa", e="AQ"),
        ec_jwk("ec", crv="secp256k1"),
        ec_jwk("ec", crv=["P-256"]),
        ec_jwk("ec", x="AAAA"),
        ec_jwk("ec", y=3),
        weak(),
        {"kty": ["RSA"]},
        {},
        "key",
        None,
    ],
)
def test_what_cannot_verify_safely_is_passed_over(entry: object) -> None:
    assert [key.key_id for key in read_keys({"keys": [entry, ec_jwk("good")]}).keys] == ["good"]


@pytest.mark.parametrize("document", [{}, {"keys": None}, {"keys": {}}, {"keys": []}, {"keys": "rsa"}])
def test_a_document_without_keys_has_none(document: dict[str, Any]) -> None:
    assert read_keys(document).keys == ()
