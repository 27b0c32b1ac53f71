"""The files of backups: readable by their owner only, named by the instant (UTC), whole or not there."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from llm_proxy_site.backups.errors import BackupError

SUFFIXES = (".sqlite3", ".pgdump", ".sql")
_OURS = re.compile(rf"llm-proxy-\d{{8}}T\d{{6}}\.\d{{3}}Z({'|'.join(map(re.escape, SUFFIXES))})")


def stamp(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y%m%dT%H%M%S}.{instant.microsecond // 1000:03}Z"


@contextmanager
def new_backup(directory: Path, suffix: str, now: datetime) -> Iterator[tuple[Path, Path]]:
    """An empty file to write to, and what it is called if all goes well. Raises BackupError."""
    final = directory / f"llm-proxy-{stamp(now)}{suffix}"
    partial = directory / f".{final.name}.partial"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
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


def remove_older(directory: Path, keep: int) -> list[Path]:
    """Of our backups, all but the newest; other files are left alone."""
    ours = sorted(path for path in directory.iterdir() if _OURS.fullmatch(path.name) and path.is_file())
    older = ours[:-keep]
    for path in older:
        path.unlink()
    return older
