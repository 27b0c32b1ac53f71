"""An assertion: a JWT (RFC 7519) that says who its bearer is. What is in one is believed when its issuer's
signature and its times have been verified, and not before.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import jwt

from tokens.exchange.errors import RefusedError
from tokens.exchange.issuers import MAX_URL
from tokens.exchange.jwks import CURVES, RSA, VerificationKey

MAX_BYTES = 16 * 1024
LEEWAY = timedelta(seconds=60)
"""So much may the issuer's clock differ from ours."""
LONGEST_LIFE = timedelta(hours=24)
"""What lives longer than that is no proof of a moment, and would have to be remembered for as long."""
MAX_SUBJECT = 255
ALGORITHMS = (*RSA, *chain.from_iterable(CURVES.values()))

_MALFORMED = "The subject token is not a JWT that can be read."


@dataclass(frozen=True, slots=True)
class Origin:
    """What an assertion says of itself, unverified: which key to look for."""

    issuer: str
    key_id: str


@dataclass(frozen=True, slots=True)
class Assertion:
    """Verified."""

    issuer: str
    subject: str
    audiences: frozenset[str]
    claims: Mapping[str, Any]
    digest: str
    """The same for each presentation of it, and for no other; nothing of it can be learned from this."""
    expires_at: datetime


def read_origin(text: str) -> Origin:
    """Raises RefusedError."""
    if not text.isascii() or len(text) > MAX_BYTES:
        raise RefusedError(_MALFORMED)
    try:
        read = jwt.decode_complete(text, options={"verify_signature": False})
    except (jwt.PyJWTError, RecursionError):
        raise RefusedError(_MALFORMED) from None
    if read["header"].get("alg") not in ALGORITHMS:
        raise RefusedError("The subject token is not signed as it must be: with a private key of its issuer.")
    issuer, key_id = read["payload"].get("iss"), read["header"].get("kid", "")
    if not isinstance(issuer, str) or not 1 <= len(issuer) <= MAX_URL:
        raise RefusedError(_MALFORMED)
    return Origin(issuer, key_id)


def verify(text: str, origin: Origin, key: VerificationKey) -> Assertion:
    """Raises RefusedError."""
    try:
        claims = jwt.decode(
            text,
            key.key,
            algorithms=list(key.algorithms),
            issuer=origin.issuer,
            leeway=LEEWAY,
            # A trust rule says which audience, and which rule it is depends on what is verified here.
            options={"require": ["iss", "sub", "aud", "exp", "iat"], "verify_aud": False},
        )
    except jwt.MissingRequiredClaimError as problem:
        raise RefusedError(f"The subject token has no `{problem.claim}`.") from None
    except jwt.ExpiredSignatureError:
        raise RefusedError("The subject token has expired.") from None
    except jwt.ImmatureSignatureError:
        raise RefusedError("The subject token is not valid yet.") from None
    except (jwt.PyJWTError, RecursionError) as problem:
        raise RefusedError("The subject token is not valid.", type(problem).__name__) from None
    return Assertion(
        issuer=origin.issuer,
        subject=_subject(claims["sub"]),
        audiences=_audiences(claims["aud"]),
        claims=claims,
        digest=_digest(text, origin.issuer, claims.get("jti")),
        expires_at=_expiry(int(claims["exp"])),
    )


def _subject(subject: str) -> str:
    """It is shown, logged and audited."""
    if not 1 <= len(subject) <= MAX_SUBJECT or not subject.isprintable():
        raise RefusedError("The subject token's `sub` is no text that can be shown.")
    return subject


def _audiences(audience: object) -> frozenset[str]:
    members = audience if isinstance(audience, list) else [audience]
    return frozenset(member for member in members if isinstance(member, str))


def _expiry(seconds: int) -> datetime:
    latest = datetime.now(UTC) + LONGEST_LIFE + LEEWAY
    if seconds > latest.timestamp():
        raise RefusedError(
            f"The subject token expires in more than {LONGEST_LIFE // timedelta(hours=1)} hours."
        )
    return datetime.fromtimestamp(seconds, UTC)


def _digest(text: str, issuer: str, token_id: object) -> str:
    """Of the id that its issuer has given it, or else of all that is signed. The signature would not do:
    there are several for one text.
    """
    what = (
        ["jti", issuer, token_id]
        if isinstance(token_id, str) and token_id
        else ["jwt", text.rpartition(".")[0]]
    )
    return hashlib.sha256("\0".join(what).encode()).hexdigest()
