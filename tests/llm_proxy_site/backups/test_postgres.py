"""Backups of PostgreSQL, by its own programs."""

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from llm_proxy_site.backups.programs import find_program
from llm_proxy_site.processes import MANAGE, ChildFailedError, manage, running
from tests.databases import execute
from tests.installations import Installation
from tests.llm_proxy_site.backups.conftest import KEY, with_a_project
from tests.llm_proxy_site.backups.test_backup import back_up, projects

pytestmark = pytest.mark.postgres


@pytest.fixture
def installation(postgres_installation: Installation) -> Installation:
    return with_a_project(postgres_installation)


def test_backup_restores_what_was_and_what_was_replaced_is_kept(installation: dict[str, str]) -> None:
    backup = back_up(installation)
    manage("create_project", "after", "--upstream-key", "-", environment=installation, stdin=KEY)

    with (
        running(str(MANAGE), "serve", "--bind", "127.0.0.1:0", environment=installation),
        pytest.raises(ChildFailedError, match="A server is running on this database"),
    ):
        manage("restore_db", str(backup), environment=installation)
    facts = json.loads(manage("restore_db", str(backup), "--json", environment=installation))

    assert backup.stat().st_mode & 0o777 == 0o600
    assert projects(installation) == ["before"]
    manage("restore_db", facts["replaced"], environment=installation)
    assert sorted(projects(installation)) == ["after", "before"]


def test_restoring_is_refused_while_anybody_has_a_session(installation: dict[str, str]) -> None:
    import psycopg

    backup = back_up(installation)
    with (
        psycopg.connect(installation["DATABASE_URL"]),
        pytest.raises(ChildFailedError, match="1 other sessions use this database"),
    ):
        manage("restore_db", str(backup), environment=installation)


def test_tables_of_another_program_are_not_deleted(installation: dict[str, str]) -> None:
    backup = back_up(installation)
    execute(installation["DATABASE_URL"], "CREATE TABLE invoices (id integer)")
    with pytest.raises(ChildFailedError, match="tables of another program: invoices"):
        manage("restore_db", str(backup), environment=installation)
    assert execute(installation["DATABASE_URL"], "SELECT count(*) FROM invoices") == [(0,)]


def test_load_that_fails_is_told_once_and_changes_nothing(
    installation: dict[str, str], tmp_path: Path
) -> None:
    backup = back_up(installation)
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "psql").write_text("#!/bin/sh\necho the disk is full >&2\nexit 3\n")
    (programs / "psql").chmod(0o700)
    path = {"PATH": f"{programs}:/usr/bin:/bin"}
    with pytest.raises(ChildFailedError, match=r"psql failed: the disk is full$"):
        manage("restore_db", str(backup), environment={**installation, **path})
    assert projects(installation) == ["before"]


def test_programs_of_17_restore_into_a_server_before_it(installation: dict[str, str], tmp_path: Path) -> None:
    backup = back_up(installation)
    manage("create_project", "after", "--upstream-key", "-", environment=installation, stdin=KEY)
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "pg_restore").write_text(
        "#!/bin/sh\n"
        'echo "SET statement_timeout = 0;"\n'
        'echo "SET transaction_timeout = 0;"\n'
        f'exec {find_program("pg_restore")} "$@"\n'
    )
    (programs / "pg_restore").chmod(0o700)
    manage("restore_db", str(backup), environment={**installation, "PATH": f"{programs}:/usr/bin:/bin"})
    assert projects(installation) == ["before"]


def test_older_backup_is_brought_up_to_date_and_a_damaged_one_changes_nothing(
    installation: dict[str, str],
) -> None:
    newest = back_up(installation)
    manage("migrate", "usage", "0005", environment=installation)
    older = back_up(installation)
    manage("restore_db", str(newest), environment=installation)
    assert json.loads(manage("restore_db", str(older), "--json", environment=installation))["migrations"] >= 1
    older.write_bytes(newest.read_bytes()[:2000])
    with pytest.raises(ChildFailedError, match=r"pg_restore failed|not a backup"):
        manage("restore_db", str(older), environment=installation)
    assert projects(installation) == ["before"]


def test_password_is_never_on_a_command_line(installation: dict[str, str], tmp_path: Path) -> None:
    """A pg_dump of the test's own writes down how it was called."""
    programs = tmp_path / "programs"
    programs.mkdir()
    fake = programs / "pg_dump"
    fake.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/called\n[ "$PGPASSWORD" = geheim ] || exit 3\nexit 4\n'
    )
    fake.chmod(0o700)
    parts = urlsplit(installation["DATABASE_URL"])
    url = parts._replace(netloc=f"{parts.username}:geheim@{parts.hostname}:{parts.port}").geturl()
    path = {"PATH": f"{programs}:/usr/bin:/bin", "DATABASE_URL": url}
    with pytest.raises(ChildFailedError, match="pg_dump failed"):
        back_up({**installation, **path})
    assert "geheim" not in (tmp_path / "called").read_text()
