"""Encryption of upstream keys and second factors at rest: MultiFernet over ENCRYPTION_KEYS.

The first key encrypts; all of them decrypt, so that a new key is put in front and old rows stay readable.
"""

from functools import cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class UndecryptableError(Exception):
    """The stored bytes were encrypted with a key that ENCRYPTION_KEYS does not hold."""


def encrypt(plain: str) -> str:
    return _cipher(tuple(settings.ENCRYPTION_KEYS)).encrypt(plain.encode()).decode()


def decrypt(ciphertext: str) -> str:
    """Raises UndecryptableError."""
    try:
        return _cipher(tuple(settings.ENCRYPTION_KEYS)).decrypt(ciphertext.encode()).decode()
    except InvalidToken:
        raise UndecryptableError("No key in ENCRYPTION_KEYS decrypts this secret.") from None


def position_of(ciphertext: str) -> int | None:
    """Which of ENCRYPTION_KEYS decrypts it: 0 is the newest. None: none does."""
    for position, key in enumerate(settings.ENCRYPTION_KEYS):
        try:
            _cipher((key,)).decrypt(ciphertext.encode())
        except InvalidToken:
            continue
        return position
    return None


def reencrypt(ciphertext: str) -> str:
    """The same, under the newest key. Raises UndecryptableError."""
    return encrypt(decrypt(ciphertext))


@cache
def _cipher(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])
