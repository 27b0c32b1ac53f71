"""Files that root makes for the service are given to the user it runs as, who could not open them else.

By descriptor: that user may rename what is in its directory, and must not be given another file.
"""

import os
from contextlib import suppress
from pathlib import Path

PERMISSIONS = 0o777


def own_like(descriptor: int, database: Path) -> None:
    """As the database is owned, or else its directory. Only root can do so; others own what they make."""
    owner = (database if database.exists() else database.parent).stat()
    if os.fstat(descriptor).st_nlink == 1:
        with suppress(OSError):
            os.fchown(descriptor, owner.st_uid, owner.st_gid)


def permit_like(descriptor: int, database: Path) -> None:
    if database.exists():
        os.fchmod(descriptor, database.stat().st_mode & PERMISSIONS)
