"""Backups of PostgreSQL, by its own programs."""

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from llm_proxy_site.processes import MANAGE, ChildFailedError, manage, running
from tests.llm_proxy_site.backups.test_backup import KEY, back_up, projects

pytestmark = pytest.mark.postgres


@pytest.fixture
def installation(postgres_url: str, tmp_path: Path) -> dict[str, str]:
    environment = {"DATA_DIR": str(tmp_path / "data"), "DATABASE_URL": postgres_url}
    manage("setup", environment=environment)
    manage("create_project", "before", "--upstream-key", "-", environment=environment, stdin=KEY)
    return environment


def test_backup_restores_what_was_and_what_was_replaced_is_kept(installation: dict[str, str]) -> None:
    backup = back_up(installation)
    manage("create_project", "after", "--upstream-key", "-", environment=installation, stdin=KEY)

    with (
        running(str(MANAGE), "serve", "--bind", "127.0.0.1:0", environment=installation),
        pytest.raises(ChildFailedError, match="other sessions use this database"),
    ):
        manage("restore_db", str(backup), environment=installation)
    facts = json.loads(manage("restore_db", str(backup), "--json", environment=installation))

    assert backup.stat().st_mode & 0o777 == 0o600
    assert projects(installation) == ["before"]
    manage("restore_db", facts["replaced"], environment=installation)
    assert sorted(projects(installation)) == ["after", "before"]


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
