"""What each kind of database is backed up with."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Protocol

from django.db import connection

from llm_proxy_site.backups.mysql import MySQL
from llm_proxy_site.backups.postgres import PostgreSQL
from llm_proxy_site.backups.sqlite import SQLite

IsStopping = Callable[[], bool]
Migrations = set[tuple[str, str]]
"""App and name of those that were applied."""


class Engine(Protocol):
    """Each function raises BackupError."""

    @property
    def suffix(self) -> str: ...

    def expected_bytes(self) -> int | None:
        """How large a backup of now would be; None where that is not cheaply known."""

    def dump(self, to: Path, is_stopping: IsStopping) -> None:
        """Write a consistent copy to an empty file, while others read and write the database."""

    def verify(self, file: Path) -> None: ...

    def migrations(self, file: Path) -> Migrations: ...

    def prepare(self, file: Path, now: datetime) -> "Replacement":
        """What can be done before anything changes. Nobody else is using the database."""


class Replacement(Protocol):
    """Of the database by a backup."""

    @property
    def kept(self) -> Path | None:
        """The database that was there before; None: there was none."""

    def put_in_place(self) -> None:
        """If it raises, it may be half done."""

    def put_back(self) -> None:
        """What was there before, whatever of it was replaced."""


def engine() -> Engine:
    engines: dict[str, type[Engine]] = {"sqlite": SQLite, "postgresql": PostgreSQL, "mysql": MySQL}
    return engines[connection.vendor]()
