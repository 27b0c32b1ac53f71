"""Files that root makes for the service are given to the user it runs as, who could not open them else."""

import os
from contextlib import suppress
from pathlib import Path

PERMISSIONS = 0o777


def own_like(path: Path, database: Path) -> None:
    """As the database is owned, or else its directory. Only root can do so; others own what they make."""
    model = database if database.exists() else database.parent
    owner = model.stat()
    with suppress(PermissionError):
        os.chown(path, owner.st_uid, owner.st_gid)


def permit_like(path: Path, database: Path) -> None:
    if database.exists():
        path.chmod(database.stat().st_mode & PERMISSIONS)
