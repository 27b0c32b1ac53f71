"""Puts a backup in the database's place, which is kept. Whoever serves must have stopped."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.db import Error, connection
from django.db.migrations.loader import MigrationLoader

from audit import trail
from llm_proxy_site.backups.engines import Replacement, engine
from llm_proxy_site.backups.errors import BackupError
from llm_proxy_site.provisioning import ensure_data_dir
from llm_proxy_site.schema import bring_up_to_date, unapplied_migrations
from llm_proxy_site.serving_lock import InUseError, alone
from projects.rotation import count_by_key


@dataclass(frozen=True, slots=True)
class Restoration:
    file: Path
    kept: Path | None
    """The database that was replaced; None: there was none."""
    migrations: int
    """How many were applied, because the backup was of an older version."""
    unreadable_keys: int
    """Upstream keys that no key in ENCRYPTION_KEYS decrypts."""


def restore(file: Path, *, now: datetime, actor: str) -> Restoration:
    """Raises BackupError: what was there is there again then, or the message says where it is."""
    means = engine()
    means.verify(file)
    _refuse_newer(means.migrations(file))
    _make_place()
    try:
        with alone():
            replacement = means.prepare(file, now)
            with _putting_back(replacement):
                replacement.put_in_place()
                migrations = _migrate()
                trail.record_act(
                    "database.restored",
                    "database",
                    actor=actor,
                    details={"file": file.name, "migrations": migrations},
                )
                return Restoration(file, replacement.kept, migrations, count_by_key()[None])
    except InUseError as problem:
        raise BackupError(str(problem)) from None
    except Error as problem:
        raise BackupError(f"The database says: {problem}") from None
    finally:
        connection.close()


def _make_place() -> None:
    """On a machine that has nothing yet."""
    try:
        ensure_data_dir(settings.DATA_DIR)
    except OSError as problem:
        raise BackupError(f"{problem.filename}: {problem.strerror}.") from None


@contextmanager
def _putting_back(replacement: Replacement) -> Iterator[None]:
    """If anything goes wrong, also a Ctrl-C."""
    try:
        yield
    except BaseException as problem:
        connection.close()
        try:
            replacement.put_back()
        except (BackupError, Error, OSError) as second:
            raise BackupError(
                f"{problem} What was there cannot be put back: {second} It is kept: {replacement.kept}"
            ) from problem
        raise


def _refuse_newer(applied: set[tuple[str, str]]) -> None:
    unknown = applied - set(MigrationLoader(None).disk_migrations or {})
    if unknown:
        app, name = min(unknown)
        raise BackupError(f"The backup is of a newer version than this one: it has {app} {name}.")


def _migrate() -> int:
    migrations = unapplied_migrations()
    bring_up_to_date()
    return migrations
