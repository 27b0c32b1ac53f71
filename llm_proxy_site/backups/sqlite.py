"""SQLite: its online backup, and files that are put in each other's place."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.db import connection

from llm_proxy_site.backups.errors import BackupError
from llm_proxy_site.backups.files import flush, stamp

PAGES_PER_STEP = 2048
SIDE_FILES = ("", "-wal", "-shm")
"""Of a database, after its name."""


@dataclass(frozen=True, slots=True)
class ReplacedFile:
    database: Path
    kept: Path | None

    def put_back(self) -> None:
        for side in SIDE_FILES:
            _beside(self.database, side).unlink(missing_ok=True)
        if self.kept is not None:
            _move(self.kept, self.database)


class SQLite:
    suffix = ".sqlite3"

    def dump(self, to: Path, is_stopping: Callable[[], bool]) -> None:
        """The read transaction stays open from the first page to the last: with WAL it holds up no writer,
        and what they write meanwhile does not make the backup begin anew.
        """

        def progress(status: int, remaining: int, total: int) -> None:
            if is_stopping():
                raise BackupError("The backup was stopped.")

        with _reporting(), closing(sqlite3.connect(_database(), timeout=20)) as source:
            source.isolation_level = None
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()
            with closing(sqlite3.connect(to)) as target:
                source.backup(target, pages=PAGES_PER_STEP, progress=progress)
                target.execute("PRAGMA journal_mode=DELETE")  # one file, without others beside it

    def verify(self, file: Path) -> None:
        with _opened(file) as database:
            verdict = database.execute("PRAGMA integrity_check(1)").fetchone()
            orphans = database.execute("PRAGMA foreign_key_check").fetchone()
        if verdict != ("ok",):
            raise BackupError(f"{file} is damaged: {verdict[0] if verdict else 'it is empty'}.")
        if orphans is not None:
            raise BackupError(f"{file} is damaged: rows of {orphans[0]} refer to rows that are not there.")

    def migrations(self, file: Path) -> set[tuple[str, str]]:
        with _opened(file) as database:
            return set(database.execute("SELECT app, name FROM django_migrations"))

    def put_in_place(self, file: Path, now: datetime) -> ReplacedFile:
        database = _database()
        connection.close()
        restored = database.with_name(f".{database.name}.restored-{stamp(now)}")
        kept = database.with_name(f"{database.name}.replaced-{stamp(now)}") if database.exists() else None
        try:
            os.close(os.open(restored, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            shutil.copyfile(file, restored)
            flush(restored)
            if kept is not None:
                _checkpoint(database)
                _move(database, kept)
            restored.rename(database)
            flush(database.parent)
        except OSError as problem:
            restored.unlink(missing_ok=True)
            raise BackupError(f"{problem.filename}: {problem.strerror}.") from None
        return ReplacedFile(database, kept)


def _database() -> Path:
    return Path(connection.settings_dict["NAME"])


@contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    """To be read, as it is: nothing is written beside it."""
    if not file.is_file():
        raise BackupError(f"{file} is not a file.")
    with (
        _reporting(),
        closing(sqlite3.connect(f"{file.absolute().as_uri()}?immutable=1", uri=True)) as database,
    ):
        yield database


@contextmanager
def _reporting() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as problem:
        raise BackupError(f"SQLite says: {problem}.") from None


def _checkpoint(database: Path) -> None:
    """What is kept is one whole file then. A database that cannot be read any more is kept as it is."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(database, timeout=5)) as old:
        old.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _move(database: Path, to: Path) -> None:
    for side in SIDE_FILES:
        if _beside(database, side).exists():
            _beside(database, side).rename(_beside(to, side))


def _beside(database: Path, side: str) -> Path:
    return database.with_name(database.name + side)
