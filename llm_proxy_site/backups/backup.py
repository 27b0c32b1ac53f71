"""Makes a backup: written beside its name, verified, then given it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from llm_proxy_site.backups.engines import engine
from llm_proxy_site.backups.errors import BackupError
from llm_proxy_site.backups.files import new_backup, remove_older


@dataclass(frozen=True, slots=True)
class Backup:
    file: Path
    size_bytes: int
    removed: list[Path]
    """Older backups."""


def back_up(
    directory: Path,
    now: datetime,
    *,
    keep: int | None = None,
    is_stopping: Callable[[], bool] = lambda: False,
) -> Backup:
    """`keep`: how many of our backups are left there, this one included. Raises BackupError."""
    means = engine()
    with new_backup(directory, means.suffix, now) as (partial, final):
        means.dump(partial, is_stopping)
        means.verify(partial)
    removed = _remove_older(final, keep) if keep is not None else []
    return Backup(final, final.stat().st_size, removed)


def _remove_older(made: Path, keep: int) -> list[Path]:
    try:
        return remove_older(made.parent, keep)
    except OSError as problem:
        raise BackupError(
            f"{made} was made and verified, but older ones cannot be deleted: "
            f"{problem.filename or made.parent}: {problem.strerror}."
        ) from None
