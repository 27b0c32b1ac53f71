"""PostgreSQL: pg_dump in its custom format, pg_restore and psql, in one transaction."""

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.db import connection

from llm_proxy_site.backups.errors import BackupError
from llm_proxy_site.backups.files import new_backup
from llm_proxy_site.backups.programs import find_program, run_program
from llm_proxy_site.backups.tables import refuse_tables_of_others

VARIABLES = {
    "sslmode": "PGSSLMODE",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslrootcert": "PGSSLROOTCERT",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "passfile": "PGPASSFILE",
    "service": "PGSERVICE",
}
"""Options of a connection that libpq takes from the environment."""
NEW_IN_17 = re.compile(rb"^SET( transaction_timeout = 0;)$", re.MULTILINE)
"""Among the first lines of what newer programs write, and unknown to servers before."""
HEAD_BYTES = 64 * 1024
"""In which they are, behind the names of all tables."""


@dataclass(slots=True)
class ReplacedDatabase:
    engine: "PostgreSQL"
    file: Path
    kept: Path
    """A dump of what was there."""
    is_untouched: bool = False

    def put_in_place(self) -> None:
        try:
            self.engine.load(self.file)
        except BackupError:
            self.is_untouched = True  # it was one transaction
            raise

    def put_back(self) -> None:
        if not self.is_untouched:
            self.engine.load(self.kept)


class PostgreSQL:
    suffix = ".pgdump"

    def expected_bytes(self) -> None:
        """Its programs do not tell, and a dump is no copy of the tables."""

    def dump(self, to: Path, is_stopping: Callable[[], bool]) -> None:
        program = find_program("pg_dump")
        self._refuse_too_old(program)
        arguments = ("--format=custom", "--no-owner", "--no-privileges", "--no-password", f"--file={to}")
        run_program(program, *arguments, environment=_environment(), is_stopping=is_stopping)

    def verify(self, file: Path) -> None:
        if not self.migrations(file):
            raise BackupError(f"{file} is not a backup of this program's database.")
        # All of it is read and decompressed.
        with Path("/dev/null").open("w") as nowhere:
            run_program(find_program("pg_restore"), "--file=-", str(file), stdout=nowhere)

    def migrations(self, file: Path) -> set[tuple[str, str]]:
        if not file.is_file():
            raise BackupError(f"{file} is not a file.")
        arguments = ("--data-only", "--table=django_migrations", "--file=-", str(file))
        printed = run_program(find_program("pg_restore"), *arguments)
        return set(re.findall(r"^\d+\t([^\t\n]+)\t([^\t\n]+)\t", printed, re.MULTILINE))

    def prepare(self, file: Path, now: datetime) -> ReplacedDatabase:
        refuse_tables_of_others()
        with new_backup(settings.DATA_DIR / "replaced", self.suffix, now) as (partial, kept):
            self.dump(partial, lambda: False)
        return ReplacedDatabase(self, file, kept)

    def load(self, file: Path) -> None:
        """All or nothing. Tables go first that the backup may not know of."""
        with connection.cursor() as cursor:
            tables = connection.introspection.table_names(cursor)
        is_older = _server_version() < 17
        connection.close()
        with tempfile.TemporaryDirectory(prefix="llm-proxy-") as folder:
            script = Path(folder) / "script.sql"
            if tables:
                names = ", ".join(map(connection.ops.quote_name, tables))
                script.write_text(f"DROP TABLE {names} CASCADE;\n", encoding="utf-8")
            arguments = ("--no-owner", "--no-privileges", "--file=-", str(file))
            with script.open("ab") as end:
                run_program(find_program("pg_restore"), *arguments, stdout=end)
            if is_older:
                _forget_what_is_new(script)
            quietly = ("--no-psqlrc", "--quiet", "--no-password", f"--file={script}", "--output=/dev/null")
            atomically = ("--single-transaction", "--set=ON_ERROR_STOP=1")
            run_program(find_program("psql"), *quietly, *atomically, environment=_environment())

    def _refuse_too_old(self, program: str) -> None:
        found = re.search(r"(\d+)", run_program(program, "--version").replace("PostgreSQL", ""))
        server = _server_version()
        if found and int(found[1]) < server:
            raise BackupError(
                f"pg_dump {found[1]} is older than the server: PostgreSQL {server}'s is needed."
            )


def _server_version() -> int:
    connection.ensure_connection()
    return int(connection.connection.info.server_version) // 10_000


def _forget_what_is_new(script: Path) -> None:
    with script.open("r+b") as file:
        head = file.read(HEAD_BYTES)
        file.seek(0)
        file.write(NEW_IN_17.sub(rb"-- \1", head))  # as long as before


def _environment() -> dict[str, str]:
    """Where the database is, and the password, which others could read on a command line."""
    told = connection.settings_dict
    known = {
        "PGHOST": told["HOST"],
        "PGPORT": told["PORT"],
        "PGUSER": told["USER"],
        "PGPASSWORD": told["PASSWORD"],
        "PGDATABASE": told["NAME"],
        **{VARIABLES[name]: value for name, value in told["OPTIONS"].items() if name in VARIABLES},
    }
    return {name: str(value) for name, value in known.items() if value}
