"""A capture as it is stored: both bodies in one text, encrypted."""

import msgspec

from projects.encryption import decrypt, encrypt
from usage.captures.body import KeptBody, kept
from usage.captures.raw import RawCapture
from usage.captures.redaction import Redaction


class Content(msgspec.Struct, frozen=True):
    request: KeptBody
    answer: KeptBody


def conceal(raw: RawCapture) -> str:
    """Redacted, then encrypted: neither is in the way of the event loop, for this is not called there."""
    rule = raw.rule
    redaction = Redaction(rule.redacted, addresses=rule.redacts_addresses)
    content = Content(
        kept(raw.request, redaction, rule.max_bytes), kept(raw.answer, redaction, rule.max_bytes)
    )
    return encrypt(msgspec.json.encode(content).decode())


def reveal(ciphertext: str) -> Content:
    """Raises encryption.UndecryptableError."""
    return msgspec.json.decode(decrypt(ciphertext), type=Content)
