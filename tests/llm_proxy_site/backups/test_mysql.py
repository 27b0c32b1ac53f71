"""Restoring MariaDB and MySQL, where the tables of a script come one by one."""

import json
from pathlib import Path

import pytest

from llm_proxy_site.backups.programs import find_program
from llm_proxy_site.processes import MANAGE, ChildFailedError, manage, running
from tests.databases import execute
from tests.installations import Installation
from tests.llm_proxy_site.backups.conftest import KEY, with_a_project
from tests.llm_proxy_site.backups.test_backup import back_up, projects

pytestmark = pytest.mark.mysql


@pytest.fixture
def installation(mysql_installation: Installation) -> Installation:
    return with_a_project(mysql_installation)


def test_script_that_fails_half_way_changes_nothing(installation: dict[str, str]) -> None:
    backup = back_up(installation)
    script = backup.read_text()
    at = script.rindex("CREATE TABLE `usage_usagerecord`")
    backup.write_text(f"{script[:at]}CREATE TABEL oops;\n{script[at:]}")
    manage("create_project", "after", "--upstream-key", "-", environment=installation, stdin=KEY)
    tables = execute(installation["DATABASE_URL"], "SHOW TABLES")

    with pytest.raises(ChildFailedError, match="You have an error in your SQL syntax"):
        manage("restore_db", str(backup), environment=installation)

    assert execute(installation["DATABASE_URL"], "SHOW TABLES") == tables
    assert sorted(projects(installation)) == ["after", "before"]


def test_program_that_is_missing_costs_no_table(installation: dict[str, str], tmp_path: Path) -> None:
    backup = back_up(installation)
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "mariadb-dump").symlink_to(find_program("mariadb-dump", "mysqldump"))

    with pytest.raises(ChildFailedError, match="mariadb is not installed"):
        manage("restore_db", str(backup), environment={**installation, "PATH": str(programs)})

    assert projects(installation) == ["before"]


def test_no_encryption_is_asked_of_a_server_that_has_none(
    installation: dict[str, str], tmp_path: Path
) -> None:
    """MariaDB's programs do so since 11.4, unless told not to. This one says what it was told."""
    programs = tmp_path / "programs"
    programs.mkdir()
    fake = programs / "mariadb-dump"
    fake.write_text('#!/bin/sh\ncat "${1#--defaults-extra-file=}" >&2\nexit 3\n')
    fake.chmod(0o700)
    with pytest.raises(ChildFailedError, match=r"\[client-mariadb\] skip-ssl$"):
        back_up({**installation, "PATH": f"{programs}:/usr/bin:/bin"})


def test_backup_restores_what_was_once_nobody_serves(installation: dict[str, str]) -> None:
    backup = back_up(installation)
    manage("create_project", "after", "--upstream-key", "-", environment=installation, stdin=KEY)
    with (
        running(str(MANAGE), "serve", "--bind", "127.0.0.1:0", environment=installation),
        pytest.raises(ChildFailedError, match="other sessions use this database"),
    ):
        manage("restore_db", str(backup), environment=installation)
    execute(installation["DATABASE_URL"], "CREATE TABLE invoices (id integer)")
    with pytest.raises(ChildFailedError, match="tables of another program: invoices"):
        manage("restore_db", str(backup), environment=installation)
    execute(installation["DATABASE_URL"], "DROP TABLE invoices")

    facts = json.loads(manage("restore_db", str(backup), "--json", environment=installation))

    assert projects(installation) == ["before"]
    assert "CREATE TABLE `projects_project`" in Path(facts["replaced"]).read_text()
