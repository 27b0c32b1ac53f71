"""An issuer's public keys, read from a JSON Web Key Set (RFC 7517). What cannot be used is passed over."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
CURVES = {"P-256": ("ES256",), "P-384": ("ES384",), "P-521": ("ES512",), "Ed25519": ("EdDSA",)}
MAX_KEYS = 100
RSA_BITS = range(2048, 8192 + 1)
"""Fewer are weak, and more take long to check."""

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class VerificationKey:
    key_id: str
    algorithms: tuple[str, ...]
    """That it may be used with: never what a JWT says alone, and never one with a shared secret."""
    key: PublicKey


@dataclass(frozen=True, slots=True)
class KeySet:
    keys: tuple[VerificationKey, ...] = ()

    def find(self, key_id: str) -> VerificationKey | None:
        """Without an id (an empty text): the only key, where there is one only."""
        if not key_id:
            return self.keys[0] if len(self.keys) == 1 else None
        return next((key for key in self.keys if key.key_id == key_id), None)


def read_keys(document: Mapping[str, Any]) -> KeySet:
    """The usable keys; there may be none."""
    entries = document.get("keys")
    entries = entries[:MAX_KEYS] if isinstance(entries, list) else []
    return KeySet(tuple(key for entry in entries if (key := _key(entry)) is not None))


def _key(entry: object) -> VerificationKey | None:
    if not isinstance(entry, dict) or entry.get("use") not in (None, "sig") or "d" in entry:
        return None
    algorithms = _algorithms(entry)
    key_id = entry.get("kid", "")
    if not algorithms or not isinstance(key_id, str):
        return None
    try:
        key = jwt.PyJWK(entry, algorithms[0]).key
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError):  # members of odd types
        return None
    if isinstance(key, RSAPublicKey):
        return VerificationKey(key_id, algorithms, key) if key.key_size in RSA_BITS else None
    is_usable = isinstance(key, EllipticCurvePublicKey | Ed25519PublicKey)
    return VerificationKey(key_id, algorithms, key) if is_usable else None


def _algorithms(entry: dict[str, Any]) -> tuple[str, ...]:
    kind, curve, named = entry.get("kty"), entry.get("crv"), entry.get("alg")
    fitting: tuple[str, ...] = ()
    if kind == "RSA":
        fitting = RSA
    elif kind in ("EC", "OKP") and isinstance(curve, str):
        fitting = CURVES.get(curve, ())
    return fitting if named is None else tuple(algorithm for algorithm in fitting if algorithm == named)
