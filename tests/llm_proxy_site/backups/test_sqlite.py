"""Restoring SQLite: what lies beside the database, who uses it, and what goes wrong half-way."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from llm_proxy_site.backups.backup import _remove_older
from llm_proxy_site.backups.errors import BackupError
from llm_proxy_site.backups.sqlite import ReplacedFile
from llm_proxy_site.processes import ChildFailedError, manage
from tests.llm_proxy_site.backups.test_backup import back_up, projects

KILLED = """
import os, sqlite3, sys
database = sqlite3.connect(sys.argv[1])
database.execute("PRAGMA wal_autocheckpoint=0")
database.execute("UPDATE projects_project SET name = 'in the WAL'")
database.commit()
os.kill(os.getpid(), 9)
"""


def leave_wal(database: Path) -> None:
    """As a server does that is killed."""
    subprocess.run([sys.executable, "-c", KILLED, str(database)])
    assert database.with_name(f"{database.name}-wal").stat().st_size


def restore(environment: dict[str, str], file: Path) -> Path | None:
    """Where what was replaced is."""
    kept = json.loads(manage("restore_db", str(file), "--json", environment=environment))["replaced"]
    return Path(kept) if kept else None


def test_wal_of_a_database_that_was_lost_is_not_played_into_the_restored_one(
    installation: dict[str, str], tmp_path: Path
) -> None:
    database = tmp_path / "data" / "llm-proxy.db"
    backup = back_up(installation)
    leave_wal(database)
    database.rename(database.with_name("broken.db"))

    assert restore(installation, backup) is None

    assert projects(installation) == ["before"]
    assert list(database.parent.glob("llm-proxy.db.replaced-*-wal"))


def test_a_machine_that_has_nothing_yet_gets_the_backup(installation: dict[str, str], tmp_path: Path) -> None:
    backup = back_up(installation)
    folder = tmp_path / "new" / "data"
    new = {"DATA_DIR": str(folder), "DATABASE_URL": f"sqlite:///{folder / 'llm-proxy.db'}"}

    assert restore(new, backup) is None

    assert projects(new) == ["before"]
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_place_that_cannot_be_made_is_a_sentence(installation: dict[str, str], tmp_path: Path) -> None:
    backup = back_up(installation)
    (tmp_path / "file").write_text("")
    new = installation | {"DATA_DIR": str(tmp_path / "file" / "data")}

    with pytest.raises(ChildFailedError, match="file/data is not there, and cannot be made"):
        restore(new, backup)


def test_what_a_killed_server_left_in_the_wal_is_in_the_database_that_is_kept(
    installation: dict[str, str], tmp_path: Path
) -> None:
    backup = back_up(installation)
    leave_wal(tmp_path / "data" / "llm-proxy.db")

    kept = restore(installation, backup)

    assert kept is not None
    assert projects(installation) == ["before"]
    restore(installation, kept)
    assert projects(installation) == ["in the WAL"]


def test_restoring_is_refused_while_anybody_has_the_database_open(
    installation: dict[str, str], tmp_path: Path
) -> None:
    database = tmp_path / "data" / "llm-proxy.db"
    backup = back_up(installation)
    with closing(sqlite3.connect(database)) as shell:
        shell.execute("SELECT count(*) FROM projects_project").fetchone()
        with pytest.raises(ChildFailedError, match="Somebody uses the database"):
            restore(installation, backup)
    assert sorted(path.name for path in database.parent.glob("*llm-proxy.db*re*")) == []


def test_file_is_refused_whose_last_writes_are_beside_it(
    installation: dict[str, str], tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    shutil.copyfile(tmp_path / "data" / "llm-proxy.db", copy)
    leave_wal(copy)
    with pytest.raises(ChildFailedError, match=r"what was written last is in copy\.db-wal"):
        restore(installation, copy)


def test_nothing_is_no_backup_and_costs_no_older_one(tmp_path: Path) -> None:
    """As where a volume is not mounted."""
    empty, backups = tmp_path / "empty", tmp_path / "backups"
    empty.mkdir()
    backups.mkdir()
    older = backups / "llm-proxy-20260101T000000.000Z.sqlite3"
    older.touch()
    environment = {"DATA_DIR": str(empty), "DATABASE_URL": f"sqlite:///{empty / 'llm-proxy.db'}"}

    with pytest.raises(ChildFailedError, match="There is no database"):
        back_up(environment, str(backups), "--keep", "1")
    assert list(empty.glob("llm-proxy.db*")) == []
    sqlite3.connect(empty / "llm-proxy.db").close()
    with pytest.raises(ChildFailedError, match="not a backup of this program"):
        back_up(environment, str(backups), "--keep", "1")

    assert list(backups.iterdir()) == [older]


def test_older_backups_that_cannot_be_deleted_are_a_sentence(tmp_path: Path) -> None:
    """Root can delete all files, so it is asked of a directory that is not there."""
    with pytest.raises(BackupError, match=r"made and verified, but older ones cannot be deleted: .*gone"):
        _remove_older(tmp_path / "gone" / "new", 1)


def test_disk_that_is_full_is_a_sentence_with_a_name(installation: dict[str, str]) -> None:
    """A limit of the size of files, in units of 512 bytes, is as good."""
    backup = back_up(installation)
    command = f"ulimit -f 20; exec {sys.executable} manage.py restore_db {backup}"
    environment = {**os.environ, **installation}
    environment.pop("COVERAGE_PROCESS_CONFIG", None)  # its file would not fit either
    done = subprocess.run(["/bin/sh", "-c", command], env=environment, capture_output=True, text=True)
    assert done.returncode
    assert ".llm-proxy.db.restored-" in done.stderr
    assert "Traceback" not in done.stderr
    assert projects(installation) == ["before"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files for others")
def test_what_root_restores_belongs_to_whom_the_database_belonged(
    installation: dict[str, str], tmp_path: Path
) -> None:
    database = tmp_path / "data" / "llm-proxy.db"
    backup = back_up(installation)
    for path in (database.parent, *database.parent.glob("llm-proxy.db*")):
        os.chown(path, 12345, 12346)
    database.chmod(0o640)
    restore(installation, backup)
    lock = database.with_name("llm-proxy.db.lock")
    assert [(path.stat().st_uid, path.stat().st_gid) for path in (database, lock)] == [(12345, 12346)] * 2
    assert database.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("fails", ["moving the database", "renaming the copy"])
def test_what_was_moved_half_way_is_put_back(tmp_path: Path, fails: str) -> None:
    database, restored, aside = (tmp_path / name for name in ("a.db", "restored", "aside"))
    database.write_text("old")
    (tmp_path / "a.db-wal").write_text("old log")
    replacement = ReplacedFile(database, restored, aside, was_there=True)
    if fails == "moving the database":  # the log was moved before
        aside.mkdir()
        restored.touch()
    with pytest.raises(BackupError):
        replacement.put_in_place()
    if fails == "moving the database":
        aside.rmdir()
    replacement.put_back()
    assert (database.read_text(), (tmp_path / "a.db-wal").read_text()) == ("old", "old log")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.db", "a.db-wal"]
