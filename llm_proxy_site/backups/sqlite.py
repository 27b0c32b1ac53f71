"""SQLite: its online backup, and files that are put in each other's place."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.db import connection

from llm_proxy_site.backups.errors import BackupError
from llm_proxy_site.backups.files import flush, stamp
from llm_proxy_site.ownership import own_like, permit_like

PAGES_PER_STEP = 2048
COPIED_BYTES = 1024 * 1024
"""At a time."""
FILES = ("-journal", "-wal", "-shm", "")
"""After a database's name, its own last: SQLite would play what is beside it into whatever has the name."""


@dataclass(frozen=True, slots=True)
class ReplacedFile:
    database: Path
    restored: Path
    """A copy of the backup, in the same directory."""
    aside: Path
    """Where the database is moved to."""
    was_there: bool

    @property
    def kept(self) -> Path | None:
        return self.aside if self.was_there else None

    def put_in_place(self) -> None:
        try:
            _move(self.database, self.aside)  # also a WAL whose database was lost
            self.restored.rename(self.database)
            flush(self.database.parent)
        except OSError as problem:
            raise BackupError(f"{problem.filename or self.database}: {problem.strerror}.") from None

    def put_back(self) -> None:
        """Also what was moved half-way only: the old database is never what is deleted."""
        self.restored.unlink(missing_ok=True)
        if self.aside.exists() or (not self.was_there and self.database.exists()):
            for name in FILES:
                _beside(self.database, name).unlink(missing_ok=True)
        _move(self.aside, self.database)


class SQLite:
    suffix = ".sqlite3"

    def expected_bytes(self) -> int | None:
        if not _database().is_file():
            return None
        with _reporting(), closing(_connect(_database(), "mode=rw")) as database:
            (pages,) = database.execute("PRAGMA page_count").fetchone()
            (size,) = database.execute("PRAGMA page_size").fetchone()
        return int(pages * size)

    def dump(self, to: Path, is_stopping: Callable[[], bool]) -> None:
        """The read transaction stays open from the first page to the last: with WAL it holds up no writer,
        and what they write meanwhile does not make the backup begin anew.
        """

        def progress(status: int, remaining: int, total: int) -> None:
            if is_stopping():
                raise BackupError("The backup was stopped.")

        if not _database().is_file():
            raise BackupError(f"There is no database at {_database()}.")
        with _reporting(), closing(_connect(_database(), "mode=rw", timeout=20)) as source:
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
        if not self.migrations(file):
            raise BackupError(f"{file} is not a backup of this program's database.")

    def migrations(self, file: Path) -> set[tuple[str, str]]:
        with _opened(file) as database:
            if not database.execute("PRAGMA table_info(django_migrations)").fetchone():
                return set()
            return set(database.execute("SELECT app, name FROM django_migrations"))

    def prepare(self, file: Path, now: datetime) -> ReplacedFile:
        database = _database()
        connection.close()
        if database.exists():
            _fold_in(database)
        restored = database.with_name(f".{database.name}.restored-{stamp(now)}")
        try:
            _copy(file, restored, database)
        except BaseException as problem:
            restored.unlink(missing_ok=True)
            if isinstance(problem, OSError):
                raise BackupError(f"{restored}: {problem.strerror}.") from None
            raise
        aside = database.with_name(f"{database.name}.replaced-{stamp(now)}")
        return ReplacedFile(database, restored, aside, was_there=database.exists())


def _database() -> Path:
    return Path(connection.settings_dict["NAME"])


@contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    """To be read, as it is: nothing is written beside it."""
    if not file.is_file():
        raise BackupError(f"{file} is not a file.")
    log = _beside(file, "-wal")
    if log.exists() and log.stat().st_size:
        raise BackupError(
            f"{file} is not whole: what was written last is in {log.name} beside it. Fold that in first: "
            f"sqlite3 {file} 'PRAGMA journal_mode=DELETE'"
        )
    with _reporting(), closing(_connect(file, "immutable=1")) as database:
        yield database


def _connect(file: Path, how: str, *, timeout: float = 5) -> sqlite3.Connection:
    """A file that is not there is not made."""
    return sqlite3.connect(f"{file.absolute().as_uri()}?{how}", uri=True, timeout=timeout)


@contextmanager
def _reporting() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as problem:
        raise BackupError(f"SQLite says: {problem}.") from None


def _fold_in(database: Path) -> None:
    """What is kept is one whole file then. SQLite does so only if nobody else has the database open. One that
    cannot be read any more is kept as it is.
    """
    try:
        with closing(_connect(database, "mode=rw")) as old:
            old.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as problem:
        if getattr(problem, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
            raise BackupError(
                "Somebody uses the database: a server, a command or a sqlite3 shell. End that first."
            ) from None


def _copy(file: Path, restored: Path, database: Path) -> None:
    descriptor = os.open(restored, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as copy, file.open("rb") as backup:
        shutil.copyfileobj(backup, copy, COPIED_BYTES)
        permit_like(descriptor, database)
        own_like(descriptor, database)
        copy.flush()
        os.fsync(descriptor)


def _move(database: Path, to: Path) -> None:
    for name in FILES:
        if _beside(database, name).exists():
            _beside(database, name).rename(_beside(to, name))


def _beside(database: Path, name: str) -> Path:
    return database.with_name(database.name + name)
