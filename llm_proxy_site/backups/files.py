"""The files of backups: readable by their owner only, named by the instant (UTC), whole or not there."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from llm_proxy_site.backups.errors import BackupError

SUFFIXES = (".sqlite3", ".pgdump", ".sql")
ABANDONED_SECONDS = 24 * 3600.0
"""What nobody has written to for so long is of a process that was killed."""
_NAME = rf"llm-proxy-\d{{8}}T\d{{6}}\.\d{{3}}Z({'|'.join(map(re.escape, SUFFIXES))})"
_OURS = re.compile(_NAME)
_PARTIAL = re.compile(rf"\.{_NAME}\.partial")


def stamp(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y%m%dT%H%M%S}.{instant.microsecond // 1000:03}Z"


@contextmanager
def new_backup(directory: Path, suffix: str, now: datetime) -> Iterator[tuple[Path, Path]]:
    """An empty file to write to, and what it is called if all goes well. Raises BackupError."""
    final = directory / f"llm-proxy-{stamp(now)}{suffix}"
    partial = directory / f".{final.name}.partial"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_abandoned(directory)
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        try:
            yield partial, final
            flush(partial)
            partial.rename(final)
            flush(directory)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as problem:
        raise BackupError(f"{problem.filename or partial}: {problem.strerror}.") from None


def flush(path: Path) -> None:
    """To the disk: what a power cut must not take."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_older(made: Path, keep: int) -> list[Path]:
    """Of our backups beside the one that was made, all but the newest, so that `keep` are left. That one
    stays, whatever the clock has said; other files are left alone.
    """
    paths = made.parent.iterdir()
    others = sorted(path for path in paths if path != made and _OURS.fullmatch(path.name) and path.is_file())
    older = others[: max(0, len(others) - keep + 1)]
    for path in older:
        path.unlink()
    return older


def _remove_abandoned(directory: Path) -> None:
    """Each may be as large as the database."""
    for path in directory.iterdir():
        if _PARTIAL.fullmatch(path.name):
            with suppress(OSError):  # it is gone, or another user's: no reason not to make a backup
                if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                    path.unlink()
