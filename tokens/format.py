"""The text form of an access token, and everything that can be known of one without a database.

    sk-wt- + 22 base62 (its id, a UUIDv7) + 27 base62 (160 random bits) + 6 base62 (CRC32 of what precedes)

Regular, so that secret scanners find it; the checksum refuses typos and guesses without a query. Keys of the
management API have the same form, with a prefix of their own.

Tokens that `import_llm_proxy` has taken over keep the form that the Go original gave them: `sk-`, once
`tkn_`, and a UUIDv7 in 22 characters of base64url. No checksum: a guess of that form costs a query.
"""

import re
import secrets
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID

from uuid_utils.compat import uuid7

PREFIX = "sk-wt-"
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
_ID_LENGTH, _SECRET_LENGTH, _CHECKSUM_LENGTH = 22, 27, 6
_AFTER_PREFIX = re.compile(rf"[0-9A-Za-z]{{{_ID_LENGTH + _SECRET_LENGTH + _CHECKSUM_LENGTH}}}", re.ASCII)
_SECRET_BITS = 160
_ORIGINAL = re.compile(r"(sk-|tkn_)[\w-]{8}[c-f][\w-][CGKOSWaeimquy26-][\w-]{11}", re.ASCII)
"""The version and the variant of a UUIDv7 are in the ninth and eleventh character of its base64url."""
_AROUND = "\"' \t\r\n"


class MalformedTokenError(ValueError):
    """The text cannot be an access token: wrong shape or wrong checksum. Never repeats the text."""


@dataclass(frozen=True, slots=True)
class ParsedToken:
    id: UUID
    created_at: datetime


def generate(token_id: UUID | None = None, *, prefix: str = PREFIX) -> tuple[UUID, str]:
    """A new token, or a new secret for this id: the id, and the plain text, which exists nowhere else."""
    token_id = token_id or uuid7()
    body = (
        prefix + _encode(token_id.int, _ID_LENGTH) + _encode(secrets.randbits(_SECRET_BITS), _SECRET_LENGTH)
    )
    return token_id, body + _checksum(body)


def parse(plain: str) -> ParsedToken:
    """The id and the instant that a token carries. Raises MalformedTokenError."""
    if not is_well_formed(plain):
        raise MalformedTokenError("This is not an access token.")
    number = _decode(plain[len(PREFIX) : len(PREFIX) + _ID_LENGTH])
    if number >= 1 << 128:
        raise MalformedTokenError("This is not an access token.")
    token_id = UUID(int=number)
    try:
        created_at = datetime.fromtimestamp((token_id.int >> 80) / 1000, UTC)
    except (ValueError, OverflowError):
        raise MalformedTokenError("This is not an access token.") from None
    return ParsedToken(token_id, created_at)


def is_well_formed(plain: str, *, prefix: str = PREFIX) -> bool:
    """Whether shape and checksum are those of a token; says nothing of its existence."""
    return (
        plain.startswith(prefix)
        and _AFTER_PREFIX.fullmatch(plain, len(prefix)) is not None
        and _checksum(plain[:-_CHECKSUM_LENGTH]) == plain[-_CHECKSUM_LENGTH:]
    )


def is_of_original(plain: str) -> bool:
    """Whether it has the form of a token of the Go original."""
    return _ORIGINAL.fullmatch(plain) is not None


def prefix_of_original(plain: str) -> str:
    """Of a token that is_of_original."""
    found = _ORIGINAL.fullmatch(plain)
    return found[1] if found else ""


def may_be_known(plain: str) -> bool:
    """Whether it is worth a query."""
    return is_well_formed(plain) or is_of_original(plain)


def normalise(text: str) -> str:
    """The token in what a person pasted: without surrounding space, quotes and a leading `Bearer`."""
    text = text.strip(_AROUND)
    return text[7:].strip(_AROUND) if text[:7].lower() == "bearer " else text


def obfuscate(plain: str) -> str:
    """What may be shown of a token: the prefix and the last four characters."""
    return f"{PREFIX}…{plain[-4:]}" if is_well_formed(plain) else "…"


def digest(plain: str) -> str:
    """What is stored of a token: SHA-256 of the whole plain text, in hexadecimal."""
    return sha256(plain.encode()).hexdigest()


def _checksum(body: str) -> str:
    return _encode(zlib.crc32(body.encode()), _CHECKSUM_LENGTH)


def _encode(number: int, length: int) -> str:
    characters = []
    for _ in range(length):
        number, remainder = divmod(number, 62)
        characters.append(_ALPHABET[remainder])
    return "".join(reversed(characters))


def _decode(text: str) -> int:
    number = 0
    for character in text:
        number = number * 62 + _VALUES[character]
    return number
