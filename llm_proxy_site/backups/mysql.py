"""MariaDB and MySQL: their dump of one transaction, as a script."""

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.db import connection

from llm_proxy_site.backups.errors import BackupError
from llm_proxy_site.backups.files import new_backup
from llm_proxy_site.backups.programs import find_program, run_program
from llm_proxy_site.backups.tables import refuse_tables_of_others

ENDS_WITH = b"-- Dump completed"


@dataclass(frozen=True, slots=True)
class ReplacedDatabase:
    engine: "MySQL"
    file: Path
    kept: Path
    """A dump of what was there."""

    def put_in_place(self) -> None:
        self.engine.load(self.file)

    def put_back(self) -> None:
        self.engine.load(self.kept)


class MySQL:
    suffix = ".sql"

    def expected_bytes(self) -> None:
        """Its programs do not tell, and a dump is no copy of the tables."""

    def dump(self, to: Path, is_stopping: Callable[[], bool]) -> None:
        options = ("--single-transaction", "--quick", "--hex-blob", "--no-tablespaces", f"--result-file={to}")
        program = find_program("mariadb-dump", "mysqldump")
        with _login() as login:
            run_program(program, login, *options, _name(), is_stopping=is_stopping)

    def verify(self, file: Path) -> None:
        if not self.migrations(file):
            raise BackupError(f"{file} is not a backup of this program's database.")
        with file.open("rb") as script:
            script.seek(max(0, file.stat().st_size - 200))
            if ENDS_WITH not in script.read():
                raise BackupError(f"{file} is damaged: it has no end.")

    def migrations(self, file: Path) -> set[tuple[str, str]]:
        if not file.is_file():
            raise BackupError(f"{file} is not a file.")
        found: set[tuple[str, str]] = set()
        is_there = False
        with file.open(encoding="utf-8", errors="replace") as script:
            for line in script:
                is_there = "django_migrations" in line if line.startswith(("INSERT", "--")) else is_there
                if is_there:
                    found.update(re.findall(r"\(\d+,'([^']+)','([^']+)',", line))
        return found

    def prepare(self, file: Path, now: datetime) -> ReplacedDatabase:
        refuse_tables_of_others()
        with new_backup(settings.DATA_DIR / "replaced", self.suffix, now) as (partial, kept):
            self.dump(partial, lambda: False)
        return ReplacedDatabase(self, file, kept)

    def load(self, file: Path) -> None:
        """Not in one transaction: these databases have none for tables."""
        program = find_program("mariadb", "mysql")
        with _login() as login:
            with connection.cursor() as cursor:
                cursor.execute("SET FOREIGN_KEY_CHECKS = 0")
                for table in connection.introspection.table_names(cursor):
                    cursor.execute(f"DROP TABLE {connection.ops.quote_name(table)}")
            connection.close()
            with file.open(encoding="utf-8") as script:
                run_program(program, login, _name(), stdin=script)


def _name() -> str:
    return str(connection.settings_dict["NAME"])


@contextmanager
def _login() -> Iterator[str]:
    """The option that names a file with the password: others could read it on a command line."""
    told = connection.settings_dict
    where = "socket" if str(told["HOST"]).startswith("/") else "host"
    values = {where: told["HOST"], "port": told["PORT"], "user": told["USER"], "password": told["PASSWORD"]}
    lines = [f"{name}={_quoted(str(value))}" for name, value in values.items() if value]
    if not _is_encrypted():
        lines += ["[client-mariadb]", "skip-ssl"]  # MariaDB's programs insist on TLS since 11.4
    with tempfile.TemporaryDirectory(prefix="llm-proxy-") as folder:
        path = Path(folder) / "login.cnf"
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write("\n".join(["[client]", *lines, ""]))
        yield f"--defaults-extra-file={path}"


def _is_encrypted() -> bool:
    """Whether the server and we speak TLS."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW STATUS LIKE 'Ssl_cipher'")
        return bool(cursor.fetchone()[1])


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
