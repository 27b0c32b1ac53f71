from collections.abc import Iterator

import pytest
from cryptography.fernet import Fernet
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from projects.encryption import UndecryptableError, decrypt, encrypt

FIRST, SECOND = (Fernet.generate_key().decode() for _ in range(2))
PLAIN = "sk-upstream-0123456789"


@pytest.fixture(autouse=True)
def _first_key() -> Iterator[None]:
    with override_settings(ENCRYPTION_KEYS=[FIRST]):
        yield


@given(st.text())
def test_decryption_gives_back_what_was_encrypted(plain: str) -> None:
    assert decrypt(encrypt(plain)) == plain


def test_plain_text_is_not_in_the_ciphertext() -> None:
    assert PLAIN not in encrypt(PLAIN)
    assert encrypt(PLAIN) != encrypt(PLAIN)


def test_old_rows_stay_readable_behind_a_new_key(settings: Settings) -> None:
    old = encrypt(PLAIN)
    settings.ENCRYPTION_KEYS = [SECOND, FIRST]
    assert decrypt(old) == PLAIN


def test_key_in_front_encrypts(settings: Settings) -> None:
    settings.ENCRYPTION_KEYS = [SECOND, FIRST]
    new = encrypt(PLAIN)
    settings.ENCRYPTION_KEYS = [SECOND]
    assert decrypt(new) == PLAIN
    settings.ENCRYPTION_KEYS = [FIRST]
    with pytest.raises(UndecryptableError):
        decrypt(new)


@pytest.mark.parametrize("end", ["", "A", "=="])
def test_ciphertext_that_was_tampered_with_is_refused_and_not_repeated(end: str) -> None:
    ciphertext = encrypt(PLAIN)[:-10] + end
    with pytest.raises(UndecryptableError) as caught:
        decrypt(ciphertext)
    assert str(caught.value) == "No key in ENCRYPTION_KEYS decrypts this secret."


@given(st.text())
def test_text_that_was_never_encrypted_is_refused(text: str) -> None:
    with pytest.raises(UndecryptableError):
        decrypt(text)
