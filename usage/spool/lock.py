"""Who owns the files of a process: whoever holds the lock on its lock file. The lock dies with its holder."""

import fcntl
import os
from pathlib import Path


class SpoolLock:
    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path) -> "SpoolLock | None":
        """None: its process lives, or another one has taken it over. Raises OSError."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_there = cls(path, descriptor).is_there  # if not, its last holder has just deleted it
        except BlockingIOError:
            is_there = False
        except BaseException:  # whatever it is: nobody else would close it
            os.close(descriptor)
            raise
        if is_there:
            return cls(path, descriptor)
        os.close(descriptor)
        return None

    @property
    def is_there(self) -> bool:
        """Whether others find it: its file is not deleted."""
        return os.fstat(self._descriptor).st_nlink > 0

    def release(self, *, delete: bool) -> None:
        """`delete`: there is nothing left to own."""
        if delete:
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)
