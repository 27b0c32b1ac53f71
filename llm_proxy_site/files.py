"""What the standard library leaves to be said of files."""

import stat
from pathlib import Path


def is_file(path: Path) -> bool:
    """Whether there is a regular file. Raises OSError where that cannot be known, for a folder may not be
    entered: since Python 3.14 `Path.is_file` says then that there is none.
    """
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
