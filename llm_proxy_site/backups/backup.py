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
    on_growth: Callable[[int], None] = lambda more_bytes: None,
) -> Backup:
    """`keep`: how many of our backups are left there, this one included. `on_growth` hears now and then by
    how much the file has grown. Raises BackupError.
    """
    means = engine()
    with new_backup(directory, means.suffix, now) as (partial, final):
        means.dump(partial, _watching(partial, is_stopping, on_growth))
        means.verify(partial)
    removed = _remove_older(final, keep) if keep is not None else []
    return Backup(final, final.stat().st_size, removed)


def expected_bytes() -> int | None:
    """How large a backup of now would be; None where that is not cheaply known. Raises BackupError."""
    return engine().expected_bytes()


def _watching(
    partial: Path, is_stopping: Callable[[], bool], on_growth: Callable[[int], None]
) -> Callable[[], bool]:
    """`is_stopping`, which engines ask all the while, with a look at the file."""
    seen = 0

    def look() -> bool:
        nonlocal seen
        size = partial.stat().st_size if partial.exists() else 0
        on_growth(size - seen)
        seen = size
        return is_stopping()

    return look


def _remove_older(made: Path, keep: int) -> list[Path]:
    try:
        return remove_older(made, keep)
    except OSError as problem:
        raise BackupError(
            f"{made} was made and verified, but older ones cannot be deleted: "
            f"{problem.filename or made.parent}: {problem.strerror}."
        ) from None
