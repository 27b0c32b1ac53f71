"""What `manage.py setup` makes, once: the data directory, the secrets, the first admin account."""

import os
import secrets
from pathlib import Path

from cryptography.fernet import Fernet
from django.conf import settings
from django.contrib.auth import get_user_model

ADMIN_NAME = "admin"


def ensure_data_dir(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)


def ensure_secrets(file: Path) -> list[str]:
    """Make the secrets that neither the environment nor the file holds. The names of those made."""
    makers = {
        "SECRET_KEY": lambda: secrets.token_urlsafe(48),
        "ENCRYPTION_KEYS": lambda: Fernet.generate_key().decode(),
    }
    made = {name: makers[name]() for name in settings.MISSING_SECRETS}
    if made:
        _append_private(file, "".join(f"{name}={value}\n" for name, value in made.items()))
        _take(made)
    return list(made)


def ensure_admin() -> str | None:
    """Make an admin account where there is none. Its password, or None."""
    users = get_user_model().objects
    if users.filter(is_superuser=True).exists():
        return None
    password = secrets.token_urlsafe(15)
    users.create_superuser(ADMIN_NAME, password=password)
    return password


def _take(made: dict[str, str]) -> None:
    """Go on with the new secrets in this process, as the next one will read them from the file."""
    settings.SECRET_KEY = made.get("SECRET_KEY") or settings.SECRET_KEY
    settings.ENCRYPTION_KEYS = (
        [made["ENCRYPTION_KEYS"]] if "ENCRYPTION_KEYS" in made else settings.ENCRYPTION_KEYS
    )
    settings.MISSING_SECRETS = []


def _append_private(file: Path, text: str) -> None:
    """Append to a file that nobody else may read, from its first byte on; on disk before we return."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        os.fchmod(stream.fileno(), 0o600)
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
